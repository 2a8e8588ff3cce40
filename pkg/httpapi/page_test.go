package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"

	"github.com/google/uuid"
)

type position struct {
	At time.Time `json:"t"`
	ID uuid.UUID `json:"i"`
}

type filters struct{ Status, Sort string }

func somePosition() position {
	return position{
		At: time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC),
		ID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"),
	}
}

func encode(t testing.TB, p position, f filters) string {
	t.Helper()
	cursor, err := httpapi.EncodeCursor(p, f)
	if err != nil {
		t.Fatal(err)
	}
	return cursor
}

func TestCursorDecodesToItsPosition(t *testing.T) {
	f := filters{"open", "-created_at"}
	cursor := encode(t, somePosition(), f)
	got, err := httpapi.DecodeCursor[position](cursor, f)
	if err != nil || got != somePosition() {
		t.Errorf("got %+v, %v", got, err)
	}
	if strings.ContainsAny(cursor, "+/=") || len(cursor) > 200 {
		t.Errorf("cursor %s", cursor)
	}
}

func TestForgedOrForeignCursorIsRefused(t *testing.T) {
	f := filters{"open", "-created_at"}
	good := encode(t, somePosition(), f)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	withJSON := func(s string) string { return base64.RawURLEncoding.EncodeToString(append(raw[:8:8], s...)) }
	tests := map[string]string{
		"of other filters": encode(t, somePosition(), filters{"closed", "-created_at"}),
		"empty":            "", "short": good[:4], "only the hash": good[:11], "cut off": good[:len(good)-3], "longer": good + "AAAA",
		"padded": good + "=", "line break": good[:20] + "\n" + good[20:], "not base64": "!!!", "other bits": good[:len(good)-1] + "_", "SQL": "' OR 1=1 --",
		"no object": withJSON("1"), "null": withJSON("null"), "other members": withJSON(`{"x":1}`), "more members": withJSON(string(raw[8:len(raw)-1]) + `,"x":1}`),
		"other spelling": withJSON(" " + string(raw[8:])), "wrong case": withJSON(strings.Replace(string(raw[8:]), `"t"`, `"T"`, 1)),
		"NUL": withJSON(`{"t":"\u0000"}`), "time out of range": withJSON(`{"t":"99999-01-01T00:00:00Z","i":"` + uuid.NewString() + `"}`),
		"huge": strings.Repeat("A", 1<<20),
	}
	for name, cursor := range tests {
		if p, err := httpapi.DecodeCursor[position](cursor, f); !errs.HasCode(err, errs.CodeInvalidCursor) || p != (position{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestPagerListsEachRowOnce(t *testing.T) {
	f := newFixture(t, nil)
	for limit, pages := range map[int]int{1: 5, 2: 3, 3: 2, 4: 2, 5: 1, 6: 1} {
		var items []string
		count := 0
		for next := "/v1/numbers?limit=" + strconv.Itoa(limit); next != ""; count++ {
			res, body := f.send(t, "GET", next, "")
			var page httpapi.Page[string]
			if err := json.Unmarshal(body, &page); err != nil || res.StatusCode != 200 {
				t.Fatalf("%d %s", res.StatusCode, body)
			}
			items = append(items, page.Items...)
			link := res.Header.Get("Link")
			if (link == "") != (page.NextCursor == "") {
				t.Errorf("Link is %q and next_cursor %q", link, page.NextCursor)
			}
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
		if !slices.Equal(items, []string{"1", "2", "3", "4", "5"}) || count != pages {
			t.Errorf("limit %d: %v in %d pages", limit, items, count)
		}
	}
	res, body := f.send(t, "GET", "/v1/numbers?limit=1", "")
	var page httpapi.Page[string]
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	if link := res.Header.Get("Link"); link != "</v1/numbers?cursor="+page.NextCursor+`&limit=1>; rel="next"` {
		t.Errorf("Link = %s", link)
	}
	res, body = f.send(t, "GET", "/v1/numbers?limit=1&kind=odd&cursor="+page.NextCursor, "")
	wantProblem(t, res, body, 400, errs.CodeInvalidCursor)
}

func TestListParameterIsRepeatedOrSeparatedByCommas(t *testing.T) {
	f := newFixture(t, nil)
	for query, want := range map[string]string{
		"":                     `["1","2","3","4","5"]`,
		"?kind=odd":            `["1","3","5"]`,
		"?kind=odd,even":       `["1","2","3","4","5"]`,
		"?kind=odd&kind=even":  `["1","2","3","4","5"]`,
		"?kind=even&kind=even": `["2","4"]`,
	} {
		if _, body := f.send(t, "GET", "/v1/numbers"+query, ""); string(body) != `{"items":`+want+"}\n" {
			t.Errorf("%s: %s", query, body)
		}
	}
	for _, query := range []string{"kind=odd&kind=", "kind=odd,", "kind=", "kind=odd&kind=prime", "kind=odd,prime", "limit=1&limit=2", "cursor=a&cursor=b"} {
		res, body := f.send(t, "GET", "/v1/numbers?"+query, "")
		wantProblem(t, res, body, 422, errs.CodeValidationFailed)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	by := filters{"open", ""}
	good := encode(f, somePosition(), by)
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := httpapi.DecodeCursor[position](cursor, by)
		if err != nil {
			if !errs.HasCode(err, errs.CodeInvalidCursor) {
				t.Fatalf("%q: %v", cursor, err)
			}
			return
		}
		if encode(t, p, by) != cursor {
			t.Fatalf("%q is another spelling of %+v", cursor, p)
		}
	})
}

func TestIfMatch(t *testing.T) {
	tests := []struct {
		header string
		allows bool // version 3
	}{
		{"", true}, {"*", true}, {" * ", true}, {`"3"`, true}, {`"2"`, false}, {`"2", "3"`, true}, {`"2","3"`, true}, {`"1" , "2"`, false},
		{`W/"3"`, false}, {`W/"3", "3"`, true}, {`"03"`, false}, {`""`, false}, {`"3 "`, false}, {`"a,b", "3"`, true},
	}
	for _, tt := range tests {
		m, err := httpapi.ParseIfMatch(tt.header)
		if err != nil || m.Allows(3) != tt.allows {
			t.Errorf("%s: %v, %v", tt.header, m.Allows(3), err)
		}
	}
	for _, bad := range []string{"3", `"3`, `3"`, `"3",`, `,"3"`, `"3" "4"`, `"3";"4"`, `*, "3"`, `w/"3"`, `W/3`, `"3",,"4"`} {
		if _, err := httpapi.ParseIfMatch(bad); !errs.HasCode(err, errs.CodeValidationFailed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if httpapi.ETag(3) != `"3"` {
		t.Errorf("ETag = %s", httpapi.ETag(3))
	}
}
