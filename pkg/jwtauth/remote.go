package jwtauth

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fixdesk/pkg/errs"
)

const (
	remoteTimeout = 2 * time.Second // of one fetch
	remoteMaxAge  = 5 * time.Minute // after which a set is fetched again
	remotePause   = 5 * time.Second // between two fetches
	remoteRetry   = 1 * time.Second // between two fetches while there is no set yet
	remoteMaxSize = 64 << 10        // octets of a JWKS
)

// RemoteKeys is a Source that fetches a JWKS over HTTP and uses the last valid one
// while its issuer is down. It fetches at the first use, when the set is old, and
// when a kid is unknown; at most once in a few seconds, so that tokens with unknown
// kids don't load the issuer.
type RemoteKeys struct {
	url    string
	now    func() time.Time
	log    *slog.Logger
	client *http.Client

	set atomic.Pointer[remoteSet]

	mu     sync.Mutex // held during a fetch
	tried  time.Time
	failed error // of the last fetch
}

type remoteSet struct {
	keys    map[string]ed25519.PublicKey
	fetched time.Time
}

// NewRemoteKeys makes a source for the JWKS at url. Nothing is fetched yet.
func NewRemoteKeys(url string, now func() time.Time, log *slog.Logger) *RemoteKeys {
	return &RemoteKeys{
		url: url, now: now, log: log,
		client: &http.Client{
			Timeout:       remoteTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// PublicKey returns the key with that id. When the keys can't be fetched and no
// cached one has the id, the error is an *errs.Error of kind Unavailable.
func (r *RemoteKeys) PublicKey(kid string) (ed25519.PublicKey, error) {
	set := r.set.Load()
	if key := set.key(kid); key != nil {
		if r.now().Sub(set.fetched) < remoteMaxAge || !r.mu.TryLock() {
			return key, nil
		}
	} else {
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	err := r.refresh(kid)
	set = r.set.Load()
	switch key := set.key(kid); {
	case key != nil:
		return key, nil
	case err != nil || set == nil:
		return nil, errKeysAway.Because(err)
	}
	return nil, errUnknownKey
}

var errKeysAway = errs.New(errs.Unavailable, errs.CodeUnavailable,
	"The keys that verify tokens can't be fetched at the moment. Try again soon.")

func (s *remoteSet) key(kid string) ed25519.PublicKey {
	if s == nil {
		return nil
	}
	return s.keys[kid]
}

// refresh fetches unless another request has just done so, and returns the error
// of the last fetch. The caller holds mu.
func (r *RemoteKeys) refresh(kid string) error {
	now, set := r.now(), r.set.Load()
	pause := remotePause
	if set == nil {
		pause = remoteRetry
	}
	fresh := set != nil && now.Sub(set.fetched) < remoteMaxAge
	if fresh && set.key(kid) != nil || !r.tried.IsZero() && now.Sub(r.tried) < pause {
		return r.failed
	}
	r.tried = now
	keys, err := r.fetch()
	if r.failed = err; err != nil {
		r.log.Warn("token keys not fetched", "url", r.url, "error", err)
		return err
	}
	r.set.Store(&remoteSet{keys: keys, fetched: now})
	return nil
}

func (r *RemoteKeys) fetch() (map[string]ed25519.PublicKey, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch the JWKS: %w", err)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the JWKS: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the JWKS: answered %d", res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, remoteMaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the JWKS: %w", err)
	}
	var set jwks
	if len(data) > remoteMaxSize || json.Unmarshal(data, &set) != nil {
		return nil, errors.New("fetch the JWKS: not a key set")
	}
	keys := map[string]ed25519.PublicKey{}
	for _, j := range set.Keys {
		if key, err := j.publicKey(); err == nil { // keys of another type are ignored
			keys[j.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("fetch the JWKS: no Ed25519 key in it")
	}
	return keys, nil
}
