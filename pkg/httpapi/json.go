package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// timeLayout is RFC 3339 in UTC with all six digits of PostgreSQL's
// microseconds: trailing zeros stay, so that times compare as text, too.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// formatTime is the format of times in schemas.
const formatTime = "date-time"

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// isTime reports whether s has the form of a time of RFC 3339, section 5.6. time.Parse,
// which reads it afterwards, also takes an offset of 24 hours, with which encoding/json
// does not write it, hours of one digit and a comma before the fraction.
func isTime(s string) bool { return rfc3339.MatchString(s) }

// Time is a time as answers have it.
type Time struct{ time.Time }

// NewTime converts t for an answer.
func NewTime(t time.Time) Time { return Time{t} }

// MarshalJSON writes the time in UTC with microseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"` + timeLayout + `"`)), nil
}

// MarshalText writes the time in UTC with microseconds.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.UTC().Format(timeLayout)), nil }

// Schema describes it to OpenAPI.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: formatTime, Examples: []any{"2026-01-31T09:30:00.000000Z"}}
}

// Nullable is a value that is null in the answer when there is none. huma can't
// describe that for an object or a Time by itself.
type Nullable[T any] struct{ Value *T }

// NullTime converts a time that may be absent.
func NullTime(t *time.Time) Nullable[Time] {
	if t == nil {
		return Nullable[Time]{}
	}
	return Nullable[Time]{&Time{*t}}
}

// MarshalJSON writes the value or null.
func (n Nullable[T]) MarshalJSON() ([]byte, error) {
	if n.Value == nil {
		return []byte("null"), nil
	}
	if value, ok := any(n.Value).(json.Marshaler); ok { // avoids a second encoder
		return value.MarshalJSON()
	}
	var text bytes.Buffer
	err := jsonFormat.Marshal(&text, n.Value) // json.Marshal would escape HTML
	return text.Bytes(), err
}

// Schema describes it to OpenAPI.
func (Nullable[T]) Schema(r huma.Registry) *huma.Schema {
	value := r.Schema(reflect.TypeFor[T](), true, "")
	return &huma.Schema{AnyOf: []*huma.Schema{value, {Type: "null"}}}
}
