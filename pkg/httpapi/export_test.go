package httpapi

import (
	"net"
	"net/http"
)

// Panics adds routes that panic before and after the answer has begun.
func (a *API) Panics() {
	a.handle(http.MethodGet, "/panic", func(http.ResponseWriter, *http.Request) { panic("canary") })
	a.handle(http.MethodGet, "/panic-late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 1<<16))
		panic("canary")
	})
}

// Listen is what Serve listens on.
func (a *API) Listen(l net.Listener) net.Listener { return problemListener{l, a} }

// CheckJSON is checkJSON for the tests.
func CheckJSON(data []byte) error {
	_, err := checkJSON(data)
	return err
}

// ClientAddrOf is clientAddr for the tests.
var ClientAddrOf = clientAddr
