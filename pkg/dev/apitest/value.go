package apitest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// generator generates values: with the same seed the same ones, except identifiers.
type generator struct {
	*rand.Rand
	document *Document
	known    map[string][]string // valid values, by the name of field or parameter
	canary   string
	// refused reports that the last value must be refused.
	refused bool
}

// raw is JSON text, valid or not.
type raw string

// member is a field of an object; an object may hold the same name twice.
type member struct {
	name  string
	value any
}

// value generates a value of the schema; name is that of the field.
func (g *generator) value(name string, schema map[string]any) any {
	schema = g.document.resolve(schema)
	if options, ok := schema["anyOf"].([]any); ok {
		return g.value(name, object(options[g.IntN(len(options))]))
	}
	if enum, ok := schema["enum"].([]any); ok {
		return enum[g.IntN(len(enum))]
	}
	switch kind(g, schema) {
	case "object":
		return g.object(schema)
	case "array":
		return g.array(name, schema)
	case "boolean":
		return g.IntN(2) == 0
	case "integer", "number":
		least, most := number(schema, "minimum", 0), number(schema, "maximum", 1000)
		return raw(strconv.Itoa(int(least) + g.IntN(max(int(most-least), 0)+1)))
	case "null":
		return nil
	}
	return g.text(name, schema)
}

// kind is the type of the schema, or one of its types.
func kind(g *generator, schema map[string]any) string {
	switch t := schema["type"].(type) {
	case string:
		return t
	case []any:
		text, _ := t[g.IntN(len(t))].(string)
		return text
	}
	return "string"
}

func number(schema map[string]any, key string, byDefault float64) float64 {
	if n, ok := schema[key].(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return f
		}
	}
	return byDefault
}

func (g *generator) object(schema map[string]any) any {
	required, _ := schema["required"].([]any)
	properties := object(schema["properties"])
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	fields := []member{}
	for _, name := range names {
		if slices.Contains(required, any(name)) || g.IntN(2) == 0 {
			fields = append(fields, member{name, g.value(name, object(properties[name]))})
		}
	}
	return fields
}

func (g *generator) array(name string, schema map[string]any) any {
	items := []any{}
	for range max(int(number(schema, "minItems", 0)), 1) + g.IntN(2) {
		items = append(items, g.value(name, object(schema["items"])))
	}
	return items
}

// text generates a string: a known valid one, or one by format and length.
func (g *generator) text(name string, schema map[string]any) string {
	if known := g.known[name]; len(known) > 0 && g.IntN(8) > 0 {
		return known[g.IntN(len(known))]
	}
	switch schema["format"] {
	case "uuid":
		return uuid.Must(uuid.NewV7()).String()
	case "date-time":
		if g.IntN(16) == 0 {
			return "2026-01-31T09:30:00+24:00" // time.Parse takes it, encoding/json doesn't write it
		}
		return time.Unix(int64(g.IntN(2_000_000_000)), 0).UTC().Format(time.RFC3339)
	case "email":
		return fmt.Sprintf("%s%d@example.org", g.canary, g.IntN(1000))
	}
	text := odd[g.IntN(len(odd))] + " " + g.canary
	least, most := int(number(schema, "minLength", 0)), int(number(schema, "maxLength", 100))
	switch g.IntN(8) {
	case 0:
		return stretched(text, most)
	case 1:
		return stretched(text, max(least, 1))
	}
	return stretched(text, min(max(len([]rune(text)), least), most))
}

// stretched returns text exactly n characters.
func stretched(text string, n int) string {
	runes := []rune(text)
	for len(runes) < n {
		runes = append(runes, 'é')
	}
	return string(runes[:n])
}

// odd are texts that are allowed and often handled wrongly.
var odd = []string{
	"a", "%", "_", `\`, `%\`, "'", `"`, "'; drop table users; --", "1e400", "NaN", "null", "[]", "../../etc/passwd", "<script>alert(1)</script>",
	"${jndi:ldap://x}", "{{7*7}}", "\u202e", "\u2028", "& | ! ( ) :* <->", `"unclosed`, "#42", "#99999999999999999999", "me", "none", "😀", "e\u0301", "İ",
	"infinity", "urn:uuid:01890000-0000-7000-8000-000000000000", "{01890000-0000-7000-8000-000000000000}", "\u00a0", "\ufeff", "=1+1",
}

// refusedValues are values that every operation must refuse in any place.
var refusedValues = []raw{
	`"\u0000"`, `"a\u0000b"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"", "\"\xed\xa0\x80\"", "1e400", "-1e400", `{"a":1,"a":2}`, "tru", "'x'", "01", "NaN", "//",
	raw(strings.Repeat("[", 10000) + strings.Repeat("]", 10000)), raw(strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000)), raw(strings.Repeat("[", 100000)),
	"\"line\nbreak\"", `"\x41"`, `"\u12"`, "9" + raw(strings.Repeat("9", 400)),
}

// wrong are values of some other type or size, which some operation may take.
func (g *generator) wrong() any {
	list := []any{
		nil, true, raw("0"), raw("-1"), raw("1.5"), raw("9223372036854775808"), raw("-9223372036854775809"), "", " ", "\u200b", "\x01", "a\r\nBcc: x@y.test",
		g.canary, []any{}, []member{}, []any{nil}, []any{[]any{}}, []member{{"unknown", g.canary}}, strings.Repeat("é", 30000), strings.Repeat(g.canary, 2000),
		"0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-02-30T00:00:00Z", "294277-01-01T00:00:00Z", "00000000-0000-0000-0000-000000000000",
	}
	return list[g.IntN(len(list))]
}

// encode writes a value as JSON; its raw parts may make that invalid.
func encode(v any) string {
	switch v := v.(type) {
	case raw:
		return string(v)
	case []member:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = encode(m.name) + ":" + encode(m.value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = encode(item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("apitest: encode %T: %w", v, err))
	}
	return string(data)
}
