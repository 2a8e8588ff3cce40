package identity

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fixdesk/pkg/errs"
)

func TestHashVerifiesItsOwnPasswordOnly(t *testing.T) {
	h, ctx := newHasher(cheap), context.Background()
	encoded, err := h.hash(ctx, "Zoë's lämp")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(encoded, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("not a PHC string: %s", encoded)
	}
	for password, want := range map[string]bool{
		"Zoë's lämp": true, "Zoe\u0308's la\u0308mp": true, // composed and decomposed look the same
		"zoë's lämp": false, "Zoë's lämp ": false, "": false,
	} {
		if ok, err := h.verify(ctx, password, encoded); ok != want || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
	again, err := h.hash(ctx, "Zoë's lämp")
	if err != nil || again == encoded {
		t.Errorf("the same salt twice, %v", err)
	}
	if ok, err := newHasher(HashCost{Passes: 2, MemoryKiB: 32, Threads: 1}).verify(ctx, "Zoë's lämp", encoded); !ok || err != nil {
		t.Errorf("a hash of another cost: %v, %v", ok, err)
	}
}

// The vector was made by the reference implementation's command line tool:
// echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e.
func TestHashesEqualThoseOfTheReferenceImplementation(t *testing.T) {
	const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := newHasher(cheap).verify(context.Background(), "password", vector); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestDummyHashCostsAsMuchAsARealOne(t *testing.T) {
	h := newHasher(DefaultHashCost)
	cost, salt, sum, err := decodeHash(h.dummy)
	if err != nil || cost != DefaultHashCost || len(salt) != saltLength || len(sum) != hashLength {
		t.Errorf("%+v, %d, %d, %v", cost, len(salt), len(sum), err)
	}
}

func TestTheMemoryOfHashesIsFreedBeforeTheNext(t *testing.T) {
	h := newHasher(DefaultHashCost)
	for range 5 {
		if _, err := h.hash(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > uint64(DefaultHashCost.MemoryKiB)<<10 {
			t.Errorf("%d MiB are allocated after a hash", m.HeapAlloc>>20)
		}
	}
}

func TestHashingIsBoundedPerCoreAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap)
		if cap(h.slots) != max(1, runtime.GOMAXPROCS(0)/2) {
			t.Errorf("%d at a time on %d cores", cap(h.slots), runtime.GOMAXPROCS(0))
		}
		for range cap(h.slots) {
			h.slots <- struct{}{}
		}
		start := time.Now()
		_, err := h.hash(t.Context(), "x")
		if e := errs.As(err); e == nil || e.Kind != errs.Unavailable || time.Since(start) != hashWait {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.hash(gone, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("a disconnected client still waits: %v", err)
		}
		<-h.slots
		if _, err := h.hash(t.Context(), "x"); err != nil {
			t.Errorf("with a turn free: %v", err)
		}
	})
}

func FuzzStoredHashesNeverPanic(f *testing.F) {
	f.Add(newHasher(cheap).dummy)
	f.Add("$argon2id$v=19$m=0,t=0,p=0$$")
	f.Add("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, encoded string) {
		if cost, _, sum, err := decodeHash(encoded); err == nil && (len(sum) != hashLength || cost.Passes == 0 || cost.Threads == 0) {
			t.Errorf("%q decodes to %+v", encoded, cost)
		}
	})
}
