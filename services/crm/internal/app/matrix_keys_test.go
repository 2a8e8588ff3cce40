package app_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fixdesk/services/crm/internal/identity"
)

var scopeInText = regexp.MustCompile("API keys need the scope `([a-z:]+)`")

// keyScopes returns the scope that an API key needs, by operation; "" where no
// key is enough. Public operations are not in it.
func keyScopes(t *testing.T, w *testEnv) map[string]string {
	t.Helper()
	scopes := map[string]string{}
	doc := w.ask("GET", "/openapi.json", "", "").want(t, 200)
	for path, item := range doc.body["paths"].(map[string]any) {
		for method, described := range item.(map[string]any) {
			op := described.(map[string]any)
			if security, _ := op["security"].([]any); len(security) == 0 {
				continue
			}
			text, _ := op["description"].(string)
			name := strings.ToUpper(method) + " " + path
			scopes[name] = ""
			if found := scopeInText.FindStringSubmatch(text); found != nil {
				scopes[name] = found[1]
			}
		}
	}
	return scopes
}

// key makes an API key of a persona with the given scopes.
func (w *testEnv) key(persona string, scopes []identity.Scope) (secret string) {
	w.t.Helper()
	list, err := json.Marshal(scopes)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.ask("POST", "/v1/keys", w.login(persona), `{"name":"Key","scopes":`+string(list)+`}`).want(w.t, 201).str("secret")
}

func scopesOf(persona string) []identity.Scope {
	if persona == "admin" {
		return identity.Scopes
	}
	return identity.Scopes[:slices.Index(identity.Scopes, identity.ScopeAdmin)]
}

// TestKeyWithEveryScopeDoesWhatItsOwnerMay walks the matrix with API keys instead
// of sessions: where the operation has a scope, the answer is the one for the
// owner's session; elsewhere a key is refused. Without the scope it is 403.
func TestKeyWithEveryScopeDoesWhatItsOwnerMay(t *testing.T) {
	w := newTestEnv(t)
	scopes := keyScopes(t, w)
	keys, lacking := map[string]string{}, map[string]string{}
	callers := personas[1:] // not the anonymous one
	for _, scope := range slices.Compact(slices.Sorted(maps.Values(scopes))) {
		if scope != "" {
			lacking[scope] = w.key("admin", slices.DeleteFunc(slices.Clone(identity.Scopes), func(s identity.Scope) bool { return string(s) == scope }))
		}
	}
	for op, scope := range scopes {
		want := strings.Fields(matrix[op].want)[1:]
		for i, persona := range callers {
			if w.object == nil {
				w.objects()
				keys["reporter"] = w.key("reporter", scopesOf("reporter")) // prepare deletes earlier ones
			}
			if keys[persona] == "" {
				keys[persona] = w.key(persona, scopesOf(persona))
				if persona == "suspended" {
					w.ask("PATCH", "/v1/users/"+w.ids[persona], w.token("admin"), `{"status":"suspended"}`).want(t, 200)
				}
			}
			if scope == "" && persona != "suspended" {
				want[i] = "403"
			}
			w.try(op, persona, keys[persona], want[i], w.object)
		}
		if scope != "" {
			method, path, _ := strings.Cut(op, " ")
			got := w.ask(method, withID(path, missingID), lacking[scope], "")
			if got.status != http.StatusForbidden || got.str("code") != "forbidden" {
				t.Errorf("%s without %s: %d %s", op, scope, got.status, got.text)
			}
		}
	}
	if len(lacking) < 5 || len(scopes) < 40 { // the control: something was tried
		t.Errorf("%d scopes, %d operations", len(lacking), len(scopes))
	}
}
