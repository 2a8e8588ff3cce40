// Package apitest tests whether a service conforms to its own OpenAPI document: it
// generates valid and invalid requests from the document and compares every answer
// with the description. It must not know any service but by its document and by
// what all errors have in common.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is an OpenAPI 3.1 document, whose schemas are JSON Schema 2020-12.
type Document struct {
	root       map[string]any
	compiler   *jsonschema.Compiler
	operations []*operation
}

// The media types of bodies that are generated.
const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"

	multipartType = "multipart/form-data"
	anyType       = "*/*" // of files
)

// operation is one method on one path, as described.
type operation struct {
	id, method, path string
	pointer          string // of the operation within the document
	described        map[string]any
	parameters       []parameter
	body             map[string]any     // schema; nil if it takes none
	bodySchema       *jsonschema.Schema // of body
	bodyRequired     bool
	bodyMedia        string                        // its media type: JSON, a form, or one with a file
	responses        map[string]map[string]any     // by status
	answers          map[string]*jsonschema.Schema // by status and media type
}

type parameter struct {
	name, in string
	required bool
	schema   map[string]any
	compiled *jsonschema.Schema
}

const documentURL = "mem:///openapi.json"

// Load reads /openapi.json of the service at url.
func Load(ctx context.Context, url string) (*Document, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return Read(response.Body)
}

// Read reads a document.
func Read(r io.Reader) (*Document, error) {
	value, err := jsonschema.UnmarshalJSON(r)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	root, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the OpenAPI document is no object")
	}
	d := &Document{root: root, compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, root); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	for path, item := range object(root["paths"]) {
		for method, described := range object(item) {
			op, err := d.operation(path, method, object(described))
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", strings.ToUpper(method), path, err)
			}
			d.operations = append(d.operations, op)
		}
	}
	slices.SortFunc(d.operations, func(a, b *operation) int { return strings.Compare(a.path+" "+a.method, b.path+" "+b.method) })
	return d, nil
}

func (d *Document) operation(path, method string, described map[string]any) (_ *operation, err error) {
	op := &operation{
		method: strings.ToUpper(method), path: path, described: described,
		pointer: "/paths/" + escape(path) + "/" + method, answers: map[string]*jsonschema.Schema{},
	}
	op.id, _ = described["operationId"].(string)
	list, _ := described["parameters"].([]any)
	for i, item := range list {
		p := parameter{schema: d.resolve(object(object(item)["schema"]))}
		p.name, _ = object(item)["name"].(string)
		p.in, _ = object(item)["in"].(string)
		p.required, _ = object(item)["required"].(bool)
		if p.compiled, err = d.compile(fmt.Sprintf("%s/parameters/%d/schema", op.pointer, i)); err != nil {
			return nil, err
		}
		op.parameters = append(op.parameters, p)
	}
	if body := object(described["requestBody"]); body != nil {
		media := jsonType
		if object(body["content"])[formType] != nil {
			media = formType
		}
		if object(body["content"])[multipartType] != nil {
			media = multipartType
		}
		op.bodyMedia = media
		op.body = d.resolve(object(object(object(body["content"])[media])["schema"]))
		op.bodyRequired, _ = body["required"].(bool)
		if op.bodySchema, err = d.compile(op.pointer + "/requestBody/content/" + escape(media) + "/schema"); err != nil {
			return nil, err
		}
	}
	op.responses = map[string]map[string]any{}
	for status, response := range object(described["responses"]) {
		pointer := op.pointer + "/responses/" + status
		if ref, ok := object(response)["$ref"].(string); ok {
			pointer = strings.TrimPrefix(ref, "#")
			response = object(object(d.root["components"])["responses"])[strings.TrimPrefix(ref, "#/components/responses/")]
		}
		op.responses[status] = object(response)
		for media := range object(object(response)["content"]) {
			schema, err := d.compile(pointer + "/content/" + escape(media) + "/schema")
			if err != nil {
				return nil, err
			}
			op.answers[status+" "+media] = schema
		}
	}
	return op, nil
}

// compile compiles the schema at a JSON Pointer (RFC 6901) of the document.
func (d *Document) compile(pointer string) (*jsonschema.Schema, error) {
	return d.compiler.Compile(documentURL + "#" + strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(pointer))
}

func escape(token string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(token) }

// resolve follows a $ref.
func (d *Document) resolve(schema map[string]any) map[string]any {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return schema
		}
		schema = object(object(object(d.root["components"])["schemas"])[strings.TrimPrefix(ref, "#/components/schemas/")])
	}
}

// answersAny reports whether the operation answers in a media type that the document
// can't know.
func (op *operation) answersAny() bool { return op.answers["200 "+anyType] != nil }

// public reports whether the operation needs no token.
func (op *operation) public() bool {
	security, _ := op.described["security"].([]any)
	return len(security) == 0
}

// Validate checks a JSON text against a named schema of the document.
func (d *Document) Validate(schema, text string) error {
	compiled, err := d.compile("/components/schemas/" + escape(schema))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("read the text: %w", err)
	}
	return compiled.Validate(value)
}

// Enum returns the values of a named enum, nil when there is none.
func (d *Document) Enum(name string) (values []string) {
	list, _ := d.resolve(map[string]any{"$ref": "#/components/schemas/" + name})["enum"].([]any)
	for _, v := range list {
		text, _ := v.(string)
		values = append(values, text)
	}
	return values
}

// Incomplete lists what is missing in the descriptions, and operations that are
// public although they are not among those that may be, which are given as method
// and path. It also lists one that may be public and is not, or does not exist.
func (d *Document) Incomplete(public ...string) (defects []string) {
	ids := map[string]bool{}
	for _, op := range d.operations {
		name := op.method + " " + op.path
		tags, _ := op.described["tags"].([]any)
		summary, _ := op.described["summary"].(string)
		description, _ := op.described["description"].(string)
		if op.id == "" || ids[op.id] || summary == "" || description == "" || len(tags) == 0 {
			defects = append(defects, name+" needs an operationId of its own, a summary, a description and a tag")
		}
		defects = append(defects, op.undescribedParameters()...)
		ids[op.id] = true
		defects = append(defects, d.incompleteAnswer(op)...)
		may := slices.Index(public, name)
		if may >= 0 {
			public = slices.Delete(slices.Clone(public), may, may+1)
		}
		if op.public() != (may >= 0) {
			defects = append(defects, fmt.Sprintf("%s: public is %v and may be %v", name, op.public(), may >= 0))
		}
	}
	for _, name := range public {
		defects = append(defects, name+" is not there")
	}
	return defects
}

// Undescribed lists the fields and enums without a
// description, operations without an example of what they take or answer in JSON,
// and enums that are not named schemas.
func (d *Document) Undescribed() (defects []string) {
	for _, op := range d.operations {
		name := op.method + " " + op.path
		contents := []map[string]any{object(object(op.described["requestBody"])["content"])}
		for status, response := range object(op.described["responses"]) {
			if status < "300" {
				contents = append(contents, object(object(response)["content"]))
			}
		}
		for _, content := range contents {
			if media := object(content["application/json"]); media != nil && media["example"] == nil && media["examples"] == nil {
				defects = append(defects, name+" lacks an example")
			}
		}
	}
	schemas := object(object(d.root["components"])["schemas"])
	for name, schema := range schemas {
		if object(schema)["enum"] != nil && !d.hasText(object(schema)) {
			defects = append(defects, "the enum "+name+" has no description")
		}
		for field, described := range object(object(schema)["properties"]) {
			if !d.hasText(object(described)) {
				defects = append(defects, fmt.Sprintf("%s.%s has no description", name, field))
			}
			if values, _ := object(described)["enum"].([]any); len(values) > 1 {
				defects = append(defects, fmt.Sprintf("%s.%s has an enum without a name", name, field))
			}
		}
	}
	slices.Sort(defects)
	return defects
}

// hasText reports whether a parameter or schema has a description, of its own or of
// what it refers to.
func (d *Document) hasText(v map[string]any) bool {
	text, _ := v["description"].(string)
	if text == "" && v["$ref"] != nil {
		text, _ = d.resolve(v)["description"].(string)
	}
	return text != ""
}

// undescribedParameters lists the parameters without a description.
func (op *operation) undescribedParameters() (defects []string) {
	list, _ := op.described["parameters"].([]any)
	for _, p := range list {
		if text, _ := object(p)["description"].(string); text == "" {
			defects = append(defects, fmt.Sprintf("%s %s: the parameter %v has no description", op.method, op.path, object(p)["name"]))
		}
	}
	return defects
}

// incompleteAnswer lists what is missing in the description of a list or a resource.
func (d *Document) incompleteAnswer(op *operation) (defects []string) {
	success := object(op.described["responses"])["200"]
	answer := object(object(object(success)["content"])["application/json"])
	if op.method != http.MethodGet || answer == nil {
		return nil
	}
	fields, headers := object(d.resolve(object(answer["schema"]))["properties"]), object(object(success)["headers"])
	secret := fields["download_url"] != nil // its signature differs each time
	if fields["id"] != nil && !secret && (op.responses["304"] == nil || headers["ETag"] == nil) {
		defects = append(defects, op.method+" "+op.path+" answers a resource without ETag and 304")
	}
	if fields["items"] != nil && (fields["next_cursor"] == nil || headers["Link"] == nil) {
		defects = append(defects, op.method+" "+op.path+" answers a list without next_cursor and Link")
	}
	return defects
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
