package mailcatcher

import (
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"time"
)

//go:embed page
var pageFiles embed.FS

const (
	defaultLimit = 50

	// The page runs its own script alone and may be in no frame.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// A message's HTML is shown in a sandbox: no script, no form, no request to
	// anywhere, no access to the page around it.
	messagePolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)

func newHandler(h handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/messages", h.list)
	mux.HandleFunc("DELETE /api/messages", h.clear)
	mux.HandleFunc("GET /api/messages/{id}", h.get)
	mux.HandleFunc("GET /api/messages/{id}/raw", h.raw)
	mux.HandleFunc("POST /api/messages/{id}/reply", h.reply)
	mux.HandleFunc("GET /messages/{id}/html", h.html)
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	files := http.FileServerFS(page)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		files.ServeHTTP(w, r)
	})
	sameOrigin := http.NewCrossOriginProtection().Handler(mux) // another page in the browser sends no mail
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		sameOrigin.ServeHTTP(w, r)
	})
}

type handler struct {
	messages *store
	inbound  string // address of the listener for incoming mail
	now      func() time.Time
}

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxMessages {
			problem(w, http.StatusUnprocessableEntity, "limit must be a number from 1 to "+strconv.Itoa(maxMessages)+".")
			return
		}
		limit = n
	}
	answer(w, http.StatusOK, "application/json", map[string]any{"items": h.messages.list(limit, r.URL.Query().Get("to"))})
}

func (h handler) get(w http.ResponseWriter, r *http.Request) {
	message, raw, ok := h.find(w, r)
	if !ok {
		return
	}
	answer(w, http.StatusOK, "application/json", struct {
		summary
		content
	}{message, parse(raw)})
}

func (h handler) raw(w http.ResponseWriter, r *http.Request) {
	if _, raw, ok := h.find(w, r); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(raw)
	}
}

func (h handler) html(w http.ResponseWriter, r *http.Request) {
	if _, raw, ok := h.find(w, r); ok {
		w.Header().Set("Content-Security-Policy", messagePolicy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(parse(raw).HTML))
	}
}

func (h handler) clear(w http.ResponseWriter, _ *http.Request) {
	if err := h.messages.clear(); err != nil {
		problem(w, http.StatusInternalServerError, "The messages can't be deleted.")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// find answers 404 if there is no such message.
func (h handler) find(w http.ResponseWriter, r *http.Request) (summary, []byte, bool) {
	message, raw, err := h.messages.get(r.PathValue("id"))
	switch {
	case errors.Is(err, errNoMessage):
		problem(w, http.StatusNotFound, "There is no such message.")
	case err != nil:
		problem(w, http.StatusInternalServerError, "The message can't be read.")
	}
	return message, raw, err == nil
}

// problem answers with RFC 9457 problem details.
func problem(w http.ResponseWriter, status int, detail string) {
	answer(w, status, "application/problem+json", map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
}

func answer(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // easier to read and grep
	_ = encoder.Encode(body)     // the client may have closed the connection
}
