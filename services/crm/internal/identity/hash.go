package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"fixdesk/pkg/errs"
)

// HashCost is the cost of one argon2id hash (RFC 9106).
type HashCost struct {
	Passes    uint32 // t
	MemoryKiB uint32 // m
	Threads   uint8  // p
}

// DefaultHashCost is the OWASP Password Storage Cheat Sheet's recommendation.
var DefaultHashCost = HashCost{Passes: 2, MemoryKiB: 19 * 1024, Threads: 1}

const (
	saltLength = 16
	hashLength = 32
	// hashWait is how long a request waits for a free core at most.
	hashWait = 5 * time.Second
)

// hasher hashes at most one password for each two cores at the same time, which
// bounds the memory of many concurrent logins and leaves cores to other requests.
// It encodes hashes itself, since the comparison
// of alexedwards/argon2id panics on a stored hash with t=0 or p=0.
type hasher struct {
	cost  HashCost
	slots chan struct{}
	dummy string // verified for unknown addresses, which then take as long as known ones
}

func newHasher(cost HashCost) *hasher {
	h := &hasher{cost: cost, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	h.dummy = h.encode(make([]byte, saltLength), make([]byte, hashLength))
	return h
}

// hash returns the PHC string of a password, or errs.Unavailable when no core is
// free within hashWait.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	return h.hashIf(ctx, password, func() error { return nil })
}

// hashIf is hash, unless needed returns an error once a core is free: it then returns
// that.
func (h *hasher) hashIf(ctx context.Context, password string, needed func() error) (string, error) {
	free, err := h.wait(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	if err := needed(); err != nil {
		return "", err
	}
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails, crypto/rand
	return h.encode(salt, derive(password, salt, h.cost)), nil
}

// verify compares a password with a hash of any cost.
func (h *hasher) verify(ctx context.Context, password, encoded string) (bool, error) {
	cost, salt, want, err := decodeHash(encoded)
	if err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	free, err := h.wait(ctx)
	if err != nil {
		return false, err
	}
	defer free()
	return subtle.ConstantTimeCompare(derive(password, salt, cost), want) == 1, nil
}

// wait waits until a core is free for a hash, and returns what ends its use.
func (h *hasher) wait(ctx context.Context) (free func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, errs.New(errs.Unavailable, errs.CodeUnavailable, "Too many users are signing in. Try again soon.").
			Because(fmt.Errorf("wait for a free core to hash: %w", context.Cause(ctx))).After(hashWait)
	}
}

func derive(password string, salt []byte, cost HashCost) []byte {
	defer collect(cost)
	// Equivalent spellings of a password are equal: RFC 8265, section 4.2.2 (NFC).
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, cost.Passes, cost.MemoryKiB, cost.Threads, hashLength)
}

// collect frees the memory of a hash before the next one allocates its own, which
// without it is up to three times the memory of everything else. Where the heap is
// large anyway, the usual collection is enough and a forced one costs too much.
func collect(cost HashCost) {
	const smallHash, largeHeap = 1 << 10, 96 << 20 // KiB, bytes
	if cost.MemoryKiB < smallHash {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Uint64() < largeHeap {
		runtime.GC()
	}
}

// encode writes the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
func (h *hasher) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.MemoryKiB, h.cost.Passes, h.cost.Threads, b64(salt), b64(sum))
}

var errHashFormat = errors.New("not an argon2id PHC string")

func decodeHash(s string) (cost HashCost, salt, sum []byte, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return HashCost{}, nil, nil, errHashFormat
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Passes, &cost.Threads); err != nil {
		return HashCost{}, nil, nil, errHashFormat
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(sum) != hashLength || len(salt) < 8 || cost.Passes < 1 || cost.Threads < 1 {
		return HashCost{}, nil, nil, errHashFormat
	}
	return cost, salt, sum, nil
}
