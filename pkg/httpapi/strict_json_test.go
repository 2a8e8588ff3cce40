package httpapi_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"fixdesk/pkg/httpapi"
)

// encoding/json accepts each of these.
func TestControlStandardDecoderAcceptsRefusedJSON(t *testing.T) {
	for _, text := range []string{
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"",
		strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: encoding/json refuses it now: %v", text, err)
		}
		if err := httpapi.CheckJSON([]byte(text)); err == nil {
			t.Errorf("%s: taken", text)
		}
	}
}

func TestRepeatedKeyIsFoundAmongAThousand(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"k0":0`)
	for i := range 1000 {
		b.WriteString(`,"x` + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + strings.Repeat("z", i/26) + `":0`)
	}
	if err := httpapi.CheckJSON([]byte(b.String() + `}`)); err != nil {
		t.Errorf("distinct keys: %v", err)
	}
	if err := httpapi.CheckJSON([]byte(b.String() + `,"k0":1}`)); err == nil {
		t.Error("a repeated key was taken")
	}
}

// FuzzCheckJSON compares checkJSON with encoding/json, which must accept whatever
// checkJSON accepts, with the same meaning when it is encoded again.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e3,true,false,null,"\u00e9\ud83d\ude00\n"]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `"\ud800"`, `1e400`, `-0`, `01`, `1.`, `.5`, `1e`,
		`[1,]`, `{"a":}`, `"` + "\x00" + `"`, "\"\xff\"", `"\u00"`, `"\x"`, `tru`, ` [ ] `, `{}{}`, strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		standard := json.Unmarshal(data, &v)
		if err := httpapi.CheckJSON(data); err != nil {
			return
		}
		if standard != nil {
			t.Fatalf("%q was taken, and encoding/json says %v", data, standard)
		}
		if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
			t.Fatalf("%q was taken", data)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var w any
		if err := json.Unmarshal(again, &w); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q means another thing when written again", data)
		}
		if n, ok := v.(float64); ok && (math.IsInf(n, 0) || math.IsNaN(n)) {
			t.Fatalf("%q is not a number", data)
		}
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	body := []byte(`{"title":"The printer on the third floor is on fire","description":"` +
		strings.Repeat("It started this morning. ", 20) + `","priority":"high"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := httpapi.CheckJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
