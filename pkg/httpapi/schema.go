package httpapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

const schemaPrefix = "#/components/schemas/"

// registry makes the named schemas of the document. huma's own can't name the
// schema of a type that is not a struct, nor that of a body after its operation.
type registry struct {
	schemas map[string]*huma.Schema
	types   map[string]reflect.Type
	enums   map[reflect.Type]string // the names of enums and unions
	// operation is the id of the operation that is being registered.
	operation string
	// hidden are the schemas of hidden operations alone, which are not in the
	// document; hiding is whether one is being registered.
	hidden map[string]bool
	hiding bool
}

func newRegistry() *registry {
	return &registry{schemas: map[string]*huma.Schema{}, types: map[string]reflect.Type{}, enums: map[reflect.Type]string{}, hidden: map[string]bool{}}
}

// Enum gives a type with a fixed list of values a schema of its own, to which every
// operation registered later refers. A field of the type needs no enum tag, and no
// pointer unless it may be absent: use Nullable for null.
func Enum[T ~string](a *API, name, description string, values ...T) {
	s := &huma.Schema{Type: huma.TypeString, Description: description}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	s.PrecomputeMessages()
	a.registry.enums[reflect.TypeFor[T]()] = name
	a.registry.add(name, reflect.TypeFor[T](), s)
}

// Union gives a type whose JSON has one of several forms a schema of its own: each
// member's, which the enum K of the given field distinguishes. In a member that field
// has an enum tag with the one value of the member. common is a struct of the fields
// that all members have. It panics unless every value of K has a member. Register K
// before, with Enum.
func Union[T any, K ~string](a *API, name, description, field string, common any, members ...any) {
	kinds := a.registry.Schema(reflect.TypeFor[K](), true, "")
	s := huma.SchemaFromType(a.registry, reflect.TypeOf(common))
	s.Description, s.AdditionalProperties = description, nil
	s.Properties[field], s.Required = kinds, append(s.Required, field)
	s.Discriminator = &huma.Discriminator{PropertyName: field, Mapping: map[string]string{}}
	for _, member := range members {
		ref := a.registry.Schema(reflect.TypeOf(member), true, "")
		kind := a.registry.SchemaFromRef(ref.Ref).Properties[field].Enum[0].(string)
		s.OneOf = append(s.OneOf, ref)
		s.Discriminator.Mapping[kind] = ref.Ref
	}
	for _, kind := range a.registry.SchemaFromRef(kinds.Ref).Enum {
		if s.Discriminator.Mapping[kind.(string)] == "" {
			panic(fmt.Sprintf("httpapi: the union %s has no member for %v", name, kind))
		}
	}
	a.registry.enums[reflect.TypeFor[T]()] = name
	a.registry.add(name, reflect.TypeFor[T](), s)
}

// add panics when the name belongs to another type.
func (r *registry) add(name string, t reflect.Type, s *huma.Schema) {
	if other, taken := r.types[name]; taken && other != t {
		panic(fmt.Sprintf("httpapi: two types have the schema name %s: %v and %v", name, t, other))
	}
	if r.schemas[name] == nil && r.hiding {
		r.hidden[name] = true
	}
	r.schemas[name], r.types[name] = s, t
}

// Schema returns the schema of a type, or a reference to it if it has a name.
func (r *registry) Schema(t reflect.Type, allowRef bool, hint string) *huma.Schema {
	original := t
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		original = t // a pointer to a list is a list
	}
	name, named := r.enums[t]
	if t == reflect.TypeFor[uuid.UUID]() {
		s := huma.SchemaFromType(r, original)
		s.Format = "uuid"
		return s
	}
	if !named && !hasName(t) {
		return huma.SchemaFromType(r, original)
	}
	if !named {
		name = r.name(t, hint)
	}
	if r.schemas[name] == nil || r.types[name] != t {
		r.add(name, t, &huma.Schema{}) // a recursive type finds it
		r.schemas[name] = huma.SchemaFromType(r, original)
	}
	if allowRef {
		return &huma.Schema{Ref: schemaPrefix + name}
	}
	return r.schemas[name]
}

// hasName reports whether a type is an object, and not one that is written as text
// or describes itself.
func hasName(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() &&
		!pointer.Implements(reflect.TypeFor[huma.SchemaProvider]()) && !pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// name returns the name of an object's schema: the type's without View or Body, and
// for the body of an operation, whose type has no name, the operation's with Request
// or Response.
func (r *registry) name(t reflect.Type, hint string) string {
	if t.Name() == "" {
		switch hint := strings.ToLower(hint); { // the name of the input or output and Body, or the operation's
		case strings.HasSuffix(hint, "inputbody"), strings.HasSuffix(hint, "request"):
			return pascal(r.operation) + "Request"
		case strings.HasSuffix(hint, "outputbody"), strings.HasSuffix(hint, "answerbody"), strings.HasSuffix(hint, "response"):
			return pascal(r.operation) + "Response"
		}
	}
	name, page := huma.DefaultSchemaNamer(t, hint), ""
	if item, ok := strings.CutPrefix(name, "Page"); ok && strings.HasPrefix(t.Name(), "Page[") {
		name, page = item, "Page"
	}
	for _, suffix := range []string{"View", "Body"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return schemaCharacters(name) + page
}

// pascal converts an operation id such as list-tickets to ListTickets.
func pascal(id string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(id, func(c rune) bool { return c == '-' || c == '_' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// schemaCharacters removes from huma's name of a type the characters that OpenAPI
// forbids: a page of an unnamed struct has its field tags in its name.
func schemaCharacters(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			return c
		}
		return -1
	}, name)
}

// SchemaFromRef returns the schema that a reference names, nil for none.
func (r *registry) SchemaFromRef(ref string) *huma.Schema {
	return r.schemas[strings.TrimPrefix(ref, schemaPrefix)]
}

// TypeFromRef returns the type of the schema that a reference names.
func (r *registry) TypeFromRef(ref string) reflect.Type {
	return r.types[strings.TrimPrefix(ref, schemaPrefix)]
}

// Map returns the named schemas.
func (r *registry) Map() map[string]*huma.Schema { return r.schemas }

// RegisterTypeAlias is not supported.
func (r *registry) RegisterTypeAlias(reflect.Type, reflect.Type) {
	panic("httpapi: types have no aliases")
}

// MarshalJSON writes the named schemas, those of hidden operations aside.
func (r *registry) MarshalJSON() ([]byte, error) {
	shown := maps.Clone(r.schemas)
	maps.DeleteFunc(shown, func(name string, _ *huma.Schema) bool { return r.hidden[name] })
	return json.Marshal(shown)
}
