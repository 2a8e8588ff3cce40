package manifests

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// schema is the part of a structural schema (apiextensions.k8s.io/v1) that this test
// reads: names, types, enumerations and what is required.
type schema struct {
	Type        string            `json:"type"`
	Properties  map[string]schema `json:"properties"`
	Additional  *schema           `json:"additionalProperties"`
	Items       *schema           `json:"items"`
	Required    []string          `json:"required"`
	Enum        []any             `json:"enum"`
	Preserve    bool              `json:"x-kubernetes-preserve-unknown-fields"`
	IntOrString bool              `json:"x-kubernetes-int-or-string"`
}

// checkSchema checks an object, its metadata aside, against the schema in a file.
func checkSchema(path string, object []byte) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s schema
	var value map[string]any
	if err := json.Unmarshal(content, &s); err != nil {
		return err
	}
	if err := json.Unmarshal(object, &value); err != nil {
		return err
	}
	value["metadata"] = map[string]any{}
	return s.check("", value)
}

func (s schema) check(at string, value any) error {
	if s.Preserve || s.IntOrString {
		return nil
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		return fmt.Errorf("%s is %v, none of %v", at, value, s.Enum)
	}
	switch v := value.(type) {
	case map[string]any:
		return s.checkObject(at, v)
	case []any:
		if s.Type != "array" || s.Items == nil {
			return fmt.Errorf("%s is no list", at)
		}
		for i, item := range v {
			if err := s.Items.check(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
		return nil
	}
	if want := map[string]string{"string": "string", "boolean": "bool", "integer": "float64", "number": "float64"}[s.Type]; fmt.Sprintf("%T", value) != want {
		return fmt.Errorf("%s is a %T, not a %s", at, value, s.Type)
	}
	return nil
}

func (s schema) checkObject(at string, object map[string]any) error {
	if s.Type != "object" {
		return fmt.Errorf("%s is no object", at)
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	for name, value := range object {
		property, ok := s.Properties[name]
		switch {
		case !ok && s.Additional != nil:
			property = *s.Additional
		case !ok:
			return fmt.Errorf("there is no field %s.%s", at, name)
		}
		if err := property.check(at+"."+name, value); err != nil {
			return err
		}
	}
	return nil
}
