package apitest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"fixdesk/pkg/httpapi"
)

// texts are the values of text in CheckAppended.
var texts = []string{"", "plain", "<a> & \"b\" \\ \n\t", "é 漢字 😀 \u2028", "\x00\x7f\xff"}

// CheckAppended compares the JSON that values of a type append with that of
// encoding/json: of the zero value, and of a thousand with random fields. So a field that
// is added to the type and not to its AppendJSON is found.
func CheckAppended[T httpapi.Appender](t testing.TB) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 1000 {
		var v T
		if n > 0 {
			fill(random, reflect.ValueOf(&v).Elem())
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if got := append(v.AppendJSON(nil), '\n'); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("appended:\n%s\nencoding/json:\n%s", got, want.Bytes())
		}
	}
}

func fill(random *rand.Rand, v reflect.Value) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Unix(random.Int64N(1<<33), random.Int64N(1e9))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[random.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(random.Int64N(1 << 31))
	case reflect.Uint8:
		v.SetUint(random.Uint64N(1 << 8))
	case reflect.Array:
		for i := range v.Len() {
			fill(random, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(3), 3))
		for i := range v.Len() {
			fill(random, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(random, v.Field(i))
			}
		}
	case reflect.Pointer:
		if random.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem())
		}
	default:
		panic("apitest: no values of " + v.Type().String())
	}
}
