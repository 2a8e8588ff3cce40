package httpapi_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"fixdesk/pkg/httpapi"

	"github.com/google/uuid"
)

// reflected is v as encoding/json writes it, without escaping HTML.
func reflected(t testing.TB, v any) string {
	t.Helper()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}

func FuzzAppendedStringIsThatOfEncodingJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x01\x1f\x7f \"\\/<>&", "\b\f\n\r\t", "é 漢字 😀", "\u2028\u2029\u202a", "\xff", "a\xc3", "\xed\xa0\x80b", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(httpapi.AppendString(nil, s)), reflected(t, s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	})
}

func FuzzAppendedTimeIsThatOfItsMarshalJSON(f *testing.F) {
	for _, at := range []time.Time{{}, time.Unix(0, 999_999_999), time.Date(999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)} {
		f.Add(at.Unix(), int64(at.Nanosecond()))
	}
	f.Fuzz(func(t *testing.T, seconds, nanoseconds int64) {
		at := httpapi.NewTime(time.Unix(seconds%(1<<37), nanoseconds))
		marshalled, err := at.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if got := at.AppendJSON(nil); !bytes.Equal(got, marshalled) {
			t.Errorf("%s, want %s", got, marshalled)
		}
	})
}

func TestAppendedValuesAreThoseOfEncodingJSON(t *testing.T) {
	text, id := "a <b>", uuid.MustParse("019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42")
	now := httpapi.NewTime(time.Now())
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"id", httpapi.AppendUUID(nil, id), id},
		{"no text", httpapi.AppendStringOrNull[string](nil, nil), nil},
		{"text", httpapi.AppendStringOrNull(nil, &text), text},
		{"no time", httpapi.Nullable[httpapi.Time]{}.AppendJSON(nil), nil},
		{"time or null", httpapi.Nullable[httpapi.Time]{Value: &now}.AppendJSON(nil), now},
		{"value by reflection", httpapi.Nullable[thing]{Value: &thing{Title: text}}.AppendJSON(nil), thing{Title: text}},
		{"page", httpapi.NewPage([]httpapi.Time{now, now}, text).AppendJSON(nil), httpapi.NewPage([]httpapi.Time{now, now}, text)},
		{"page by reflection", httpapi.NewPage([]string{text}, "").AppendJSON(nil), httpapi.NewPage([]string{text}, "")},
		{"empty page", httpapi.NewPage[httpapi.Time](nil, "").AppendJSON(nil), httpapi.NewPage[httpapi.Time](nil, "")},
		{"page of nothing", httpapi.Page[httpapi.Time]{}.AppendJSON(nil), httpapi.Page[httpapi.Time]{}},
	} {
		if want := reflected(t, c.want); string(c.got.([]byte)) != want {
			t.Errorf("%s: %s, want %s", c.name, c.got, want)
		}
	}
}
