package crm_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fixdesk/deploy/client/go/crm"
)

// clientOf returns a client of a server that answers with handler.
func clientOf(t *testing.T, handler http.HandlerFunc) *crm.ClientWithResponses {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := crm.New(server.URL, crm.Config{Token: crm.Bearer("token")})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestProblemIsAnErrorWithItsCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer      http.HandlerFunc
		status      int64
		code        string
		wait        time.Duration
		explanation string
	}{
		"problem":           {http.HandlerFunc(refusal(429, "rate_limited", "7")), 429, "rate_limited", 7 * time.Second, "429 rate_limited: d"},
		"answer of a proxy": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, 502, "", 0, "502 : The answer has no problem document."},
	} {
		_, err := clientOf(t, c.answer).GetMeWithResponse(t.Context())
		e, ok := errors.AsType[*crm.Error](err)
		if !ok || e.Status != c.status || string(e.Code) != c.code || e.RetryAfter != c.wait || e.Error() != c.explanation {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListIsReadPageByPageAndOnlyAsFarAsNeeded(t *testing.T) {
	t.Parallel()
	var asked []string
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Encode())
		if r.Header.Get("Authorization") != "Bearer token" {
			t.Error("no token was sent")
		}
		w.Header().Set("Content-Type", "application/json")
		next := map[string]string{"": `,"next_cursor":"b"`, "b": `,"next_cursor":"c"`}[r.URL.Query().Get("cursor")]
		if r.URL.Query().Get("cursor") == "c" {
			refusal(400, "invalid_cursor", "")(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"items":[{"name":"1"},{"name":"2"}]%s}`, next)
	})
	users := crm.Users(t.Context(), client, crm.ListUsersParams{Q: new("x"), Limit: new(int64(2))})
	for range 2 { // a list can be read again
		asked = nil
		var names []string
		var last error
		for user, err := range users {
			names, last = append(names, user.Name), err
		}
		if want := []string{"1", "2", "1", "2", ""}; !slices.Equal(names, want) {
			t.Errorf("read %q, want %q", names, want)
		}
		if e, ok := errors.AsType[*crm.Error](last); !ok || e.Code != "invalid_cursor" {
			t.Errorf("the last error is %v", last)
		}
		if want := []string{"limit=2&q=x", "cursor=b&limit=2&q=x", "cursor=c&limit=2&q=x"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
	asked = nil
	for _, err := range users {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if len(asked) != 1 {
		t.Errorf("%d pages were read for one item", len(asked))
	}
}

func TestEveryListHasAnIterator(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"crm", "notification"} {
		read := func(name string) string {
			text, err := os.ReadFile("../" + service + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		lists := regexp.MustCompile(`(?m)^type (\w+)Params struct \{\n(?:[^}].*\n|\n)*?\tCursor `).FindAllStringSubmatch(read(service+".gen.go"), -1)
		if len(lists) < 3 {
			t.Errorf("control: only %d lists of %s were found", len(lists), service)
		}
		for _, list := range lists {
			if !strings.Contains(read("lists.go"), "c."+list[1]+"WithResponse(") {
				t.Errorf("%s: %s has no iterator", service, list[1])
			}
		}
	}
}
