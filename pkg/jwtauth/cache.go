package jwtauth

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// cacheSize is how many tokens each of the cache's two generations holds.
const cacheSize = 4096

// cache holds verified tokens by their SHA-256, because an Ed25519 verification
// costs more than the rest of most requests. A full young generation replaces the
// old one.
type cache struct {
	size       int // of a generation
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]verified
}

type verified struct {
	claims Claims
	kid    string
	key    ed25519.PublicKey
}

func newCache(size int) *cache {
	return &cache{size: size, young: map[[sha256.Size]byte]verified{}}
}

func digest(token string) [sha256.Size]byte {
	var text [1024]byte // on the stack, unlike a conversion
	return sha256.Sum256(append(text[:0], token...))
}

// get returns a token that was verified and has not expired.
func (c *cache) get(sum [sha256.Size]byte, now time.Time) (verified, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[sum]
	if !ok {
		if v, ok = c.old[sum]; !ok {
			return verified{}, false
		}
		c.add(sum, v)
	}
	return v, now.Before(v.claims.ExpiresAt)
}

func (c *cache) put(sum [sha256.Size]byte, v verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(sum, v)
}

func (c *cache) add(sum [sha256.Size]byte, v verified) {
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]verified, c.size)
	}
	c.young[sum] = v
}

// clone copies the scope, so that callers don't share the cached one.
func (c Claims) clone() Claims {
	c.Scope = slices.Clone(c.Scope)
	return c
}
