package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// acceptPatch lists the media types that every PATCH takes (RFC 5789, section 3.1).
const acceptPatch = "application/json, " + mergePatch

// probedMethods are the methods that an Allow header can name, besides HEAD, which
// goes with GET, and OPTIONS, which every path takes.
var probedMethods = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// methodsAt lists the methods that a path takes, without HEAD and OPTIONS.
func (a *API) methodsAt(path string) []string {
	var methods []string
	for _, method := range probedMethods {
		pattern := a.router.Find(chi.NewRouteContext(), method, path)
		if pattern != "" && !a.untaken[routeKey{method, pattern}] {
			methods = append(methods, method)
		}
	}
	return methods
}

// refuseUntaken has a path without parameters refuse the methods that only a path with
// one takes: PATCH /v1/tickets/counts is no request to /v1/tickets/{id}.
func (a *API) refuseUntaken() {
	for key := range a.operations {
		if strings.Contains(key.pattern, "{") {
			continue
		}
		for _, method := range probedMethods {
			pattern := a.router.Find(chi.NewRouteContext(), method, key.pattern)
			if pattern == "" || pattern == key.pattern {
				continue
			}
			a.untaken[routeKey{method, key.pattern}] = true
			a.router.MethodFunc(method, key.pattern, a.methodNotAllowed)
		}
	}
}

// methodNotAllowed answers OPTIONS with 204 and other methods that a path doesn't take
// with 405, both with Allow (RFC 9110, sections 9.3.7 and 15.5.6).
func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allowed := a.methodsAt(routedPath(r))
	if len(allowed) == 0 {
		a.notFound(w, r)
		return
	}
	a.setAllow(w, allowed)
	if r.Method != http.MethodOptions {
		a.fail(w, r, errMethodNotAllowed)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// setAllow sets Allow, in one line, since most clients read the first alone, and
// Accept-Patch.
func (a *API) setAllow(w http.ResponseWriter, allowed []string) {
	if slices.Contains(allowed, http.MethodPatch) {
		w.Header()["Accept-Patch"] = []string{acceptPatch}
	}
	list := strings.Join(allowed, ", ") + ", OPTIONS"
	w.Header()["Allow"] = []string{strings.Replace(list, "GET", "GET, HEAD", 1)}
}

// routedPath is the path that the router matches.
func routedPath(r *http.Request) string {
	if r.URL.RawPath != "" {
		return r.URL.RawPath
	}
	return r.URL.Path
}

// notFound answers requests to paths that don't exist: it redirects those that end
// with a slash too many.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" { // the service as a whole
		a.setAllow(w, probedMethods)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if a.redirectSlash(w, r) {
		return
	}
	if r.URL.Path == "/" && r.Method == http.MethodGet && wantsHTML(r) {
		w.Header().Add("Vary", "Accept")
		http.Redirect(w, r, "/docs", http.StatusFound) // a browser; other clients get the problem
		return
	}
	if a.missingPage != nil && isPage(r) {
		a.missingPage(w, r)
		return
	}
	a.fail(w, r, errNoSuchPath)
}

// redirectSlash answers 308 (RFC 9110, section 15.4.9), which keeps method and body,
// if the path without the slashes at its end is one of this service. A path that
// begins with two slashes is never redirected to: it would name another host.
func (a *API) redirectSlash(w http.ResponseWriter, r *http.Request) bool {
	path := routedPath(r)
	trimmed := strings.TrimRight(path, "/")
	if trimmed == path || trimmed == "" || strings.HasPrefix(path, "//") || len(a.methodsAt(trimmed)) == 0 {
		return false
	}
	location := strings.TrimRight(r.URL.EscapedPath(), "/")
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header()["Location"] = []string{location}
	info := infoOf(r.Context())
	info.answerFirst(w, r)
	w.WriteHeader(http.StatusPermanentRedirect)
	info.sendFirst(w)
	return true
}
