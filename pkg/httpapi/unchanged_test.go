package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestTaggedListIsAnswered304AndNeverStored(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	get := func(want int, headers ...string) *http.Response {
		t.Helper()
		res, body := f.raw(t, "GET", "/v1/documents?size=2000", "", headers...)
		if res.StatusCode != want || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%v: %d %v", headers, res.StatusCode, res.Header)
		}
		if want == 304 && (len(body) > 0 || res.Header["Content-Type"] != nil) {
			t.Errorf("304 to %v: %v %q", headers, res.Header, body)
		}
		return res
	}
	tag := get(200).Header.Get("ETag")
	if again := get(304, "If-None-Match: "+tag).Header.Get("ETag"); again != tag {
		t.Errorf("%s is confirmed by %s", tag, again)
	}
	zipped := get(200, "If-None-Match: "+tag, "Accept-Encoding: gzip").Header.Get("ETag")
	get(304, "If-None-Match: "+zipped, "Accept-Encoding: gzip")
	get(200, "If-None-Match: "+tag, "Authorization: Bearer customer-token")
	f.name.Store("Eve")
	get(200, "If-None-Match: "+tag)
}

// The list is read for each of the answers but those in a state in which it was sent with
// the entity tag that the client has.
func TestUnchangedListIsReadOnceInAState(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	reads := int64(0)
	get := func(want int, read bool, state string, headers ...string) string {
		t.Helper()
		if read {
			reads++
		}
		target := "/v1/documents?size=2000"
		if state != "" {
			target += "&state=" + state
		}
		res, body := f.raw(t, "GET", target, "", headers...)
		if res.StatusCode != want || f.reads.Load() != reads || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("in state %s with %v: %d after %d reads, want %d and %d; %v", state, headers, res.StatusCode, f.reads.Load(), want, reads, res.Header)
		}
		reads = f.reads.Load()
		if want == 304 && (len(body) > 0 || res.Header["Content-Type"] != nil || res.Header["Content-Length"] != nil) {
			t.Errorf("304 in state %s: %v %q", state, res.Header, body)
		}
		return res.Header.Get("ETag")
	}
	tag := get(200, true, "")
	get(304, true, "a", "If-None-Match: "+tag)
	for _, header := range []string{tag, "*", `"x", W/` + tag} {
		if again := get(304, false, "a", "If-None-Match: "+header); again != tag {
			t.Errorf("%s is confirmed by %s", header, again)
		}
	}
	get(200, true, "a", `If-None-Match: "x"`)
	get(200, true, "a", "If-None-Match: "+tag, "Accept-Encoding: gzip") // another representation
	get(304, false, "a", "If-None-Match: "+strings.TrimSuffix(tag, `"`)+`-gzip"`, "Accept-Encoding: gzip")
	get(200, true, "a", "If-None-Match: "+tag, "Authorization: Bearer customer-token") // another caller
	f.name.Store("Eve")
	get(304, false, "a", "If-None-Match: "+tag) // the control: the state alone decides
	get(200, true, "b", "If-None-Match: "+tag)
	get(200, true, "a", "If-None-Match: "+tag) // the answer in the latest state is kept
	if res, _ := f.raw(t, "GET", "/v1/documents?size=2000&state=b", "", "Authorization: Bearer x", "If-None-Match: *"); res.StatusCode != 401 {
		t.Errorf("without a valid token: %d", res.StatusCode)
	}
}

func TestTagsOfFewAnswersAreKept(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	for size := range 1500 {
		f.raw(t, "GET", "/v1/documents?state=a&size="+strconv.Itoa(size), "", "If-None-Match: *")
		if n := f.unchanged.Len(); n == 0 || n > 1000 {
			t.Fatalf("%d are kept after %d answers", n, size+1)
		}
	}
}
