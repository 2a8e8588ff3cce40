package app_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// document is an OpenAPI document, and the part of JSON Schema 2020-12 that
// ours uses.
type document map[string]any

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func (d document) resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	return object(object(object(d["components"])["schemas"])[strings.TrimPrefix(ref, "#/components/schemas/")])
}

// breaks says where v is not what the schema describes, "" if nowhere.
func (d document) breaks(schema map[string]any, v any, at string) string {
	schema = d.resolve(schema)
	if options, ok := schema["anyOf"].([]any); ok {
		var found []string
		for _, o := range options {
			problem := d.breaks(object(o), v, at)
			if problem == "" {
				return ""
			}
			found = append(found, problem)
		}
		return strings.Join(found, " and ")
	}
	if problem := breaksType(schema["type"], v); problem != "" {
		return at + " " + problem
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return at + " is not in the enumeration"
	}
	switch v := v.(type) {
	case string:
		return breaksFormat(schema["format"], v, at)
	case []any:
		for i, item := range v {
			if problem := d.breaks(object(schema["items"]), item, fmt.Sprintf("%s[%d]", at, i)); problem != "" {
				return problem
			}
		}
	case map[string]any:
		return d.breaksObject(schema, v, at)
	}
	return ""
}

func (d document) breaksObject(schema, v map[string]any, at string) string {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return at + "." + name.(string) + " is missing"
		}
	}
	properties := object(schema["properties"])
	for name, value := range v {
		property, known := properties[name]
		if !known {
			if additional, isSchema := schema["additionalProperties"].(map[string]any); isSchema {
				property = additional
			} else if schema["additionalProperties"] == false {
				return at + "." + name + " is not described"
			}
		}
		if problem := d.breaks(object(property), value, at+"."+name); problem != "" {
			return problem
		}
	}
	return ""
}

func breaksType(want, v any) string {
	var types []any
	switch w := want.(type) {
	case nil:
		return ""
	case string:
		types = []any{w}
	case []any:
		types = w
	}
	got := "null"
	switch n := v.(type) {
	case string:
		got = "string"
	case bool:
		got = "boolean"
	case float64:
		if got = "number"; n == float64(int64(n)) && !slices.Contains(types, any("number")) {
			got = "integer"
		}
	case []any:
		got = "array"
	case map[string]any:
		got = "object"
	}
	if slices.Contains(types, any(got)) {
		return ""
	}
	return fmt.Sprintf("is %s, not %v", got, types)
}

func breaksFormat(format any, v, at string) string {
	var err error
	switch format {
	case "uuid":
		_, err = uuid.Parse(v)
	case "date-time":
		_, err = time.Parse(time.RFC3339Nano, v)
	}
	if err != nil {
		return fmt.Sprintf("%s is no %s", at, format)
	}
	return ""
}
