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

// Negotiate is negotiate for the tests.
func Negotiate(lines []string, compressible bool) (coding string, always, ok bool) {
	offered := allCodings
	if !compressible {
		offered = nil
	}
	c, ok := negotiate(lines, offered...)
	return string(c.coding), c.always, ok
}

// MatchesAny is matchesAny for the tests.
var MatchesAny = matchesAny

// FreeStreamSlots is how many more streams could be compressed now.
func FreeStreamSlots() int { return cap(streamSlots) - len(streamSlots) }

// MaxEncodedStreams is maxEncodedStreams for the tests.
const MaxEncodedStreams = maxEncodedStreams

// Len is how many answers are known.
func (u *Unchanged) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.answers)
}
