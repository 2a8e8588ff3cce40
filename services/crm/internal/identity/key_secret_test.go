package identity

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestKeysAreUniqueAndEndWithTheirChecksum(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^fd_live_[0-9A-Za-z]{49}$`)
	seen, counts := map[string]bool{}, map[byte]int{}
	const n = 2000
	for range n {
		k := newKeySecret()
		if !form.MatchString(k.text) || seen[k.text] {
			t.Fatalf("a key of another form, or twice")
		}
		seen[k.text] = true
		parsed, err := parseKey(k.text)
		if err != nil || !bytes.Equal(parsed.hash(), k.hash()) {
			t.Fatal(err)
		}
		for i := range keyRandom {
			counts[k.text[len(keyPrefix)+i]]++
		}
	}
	mean := float64(n*keyRandom) / float64(len(base62)) // 1387, with a standard deviation of 37
	for _, c := range []byte(base62) {
		if got := float64(counts[c]); got < mean-300 || got > mean+300 {
			t.Errorf("%q occurs %v times, expected about %.0f", c, got, mean)
		}
	}
}

// The checksum of a fixed key is written down, since secret scanners compute it too.
func TestChecksumOfAKnownKey(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		keyPrefix + strings.Repeat("0", keyRandom): "3aIPwu",
		keyPrefix + strings.Repeat("z", keyRandom): "2wSRxZ",
	} {
		if got := keySum(body); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestEachTypingErrorInAKeyIsFound(t *testing.T) {
	t.Parallel()
	k := newKeySecret().text
	for i := range len(k) {
		for _, c := range []byte(base62 + "_-.") {
			if k[i] == c {
				continue
			}
			if _, err := parseKey(k[:i] + string(c) + k[i+1:]); err == nil {
				t.Fatalf("another character at %d is accepted", i)
			}
		}
		if i+1 < len(k) && k[i] != k[i+1] {
			if _, err := parseKey(k[:i] + string(k[i+1]) + string(k[i]) + k[i+2:]); err == nil {
				t.Fatalf("two characters swapped at %d are accepted", i)
			}
		}
	}
	for _, other := range []string{"", k[1:], k[:len(k)-1], k + "0", " " + k, strings.ToUpper(k), "fd_test_" + k[8:]} {
		if _, err := parseKey(other); err == nil {
			t.Errorf("%d characters are accepted", len(other))
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	k := newKeySecret()
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
		if strings.Contains(text, k.text) {
			t.Error("a key is printed")
		}
	}
}

func FuzzParsedKeysHaveOneSpelling(f *testing.F) {
	f.Add(newKeySecret().text)
	f.Add("fd_live_")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseKey(s); err == nil && (k.text != s || len(s) != keyLength) {
			t.Error("a key has two spellings")
		}
	})
}
