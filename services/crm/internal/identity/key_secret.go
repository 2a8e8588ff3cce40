package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"strings"
)

// The text of an API key is keyPrefix, keyRandom characters of base62 (256 bits),
// and as its last six characters the CRC-32 (IEEE) of everything before them, in
// base62 with leading zeros. Secret scanners find keys by the prefix, and the
// checksum distinguishes them from other text without asking the service.
const (
	keyPrefix   = "fd_live_"
	keyRandom   = 43
	keyChecksum = 6
	keyLength   = len(keyPrefix) + keyRandom + keyChecksum

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// hintLength is how much of a key is stored and shown, which leaves 232 random
	// bits unknown.
	hintLength = len(keyPrefix) + 4
)

// keySecret is the text of an API key. It must never be logged.
type keySecret struct{ text string }

var errKeyForm = errors.New("not an API key, or one with a typing error")

func newKeySecret() keySecret {
	var b strings.Builder
	b.WriteString(keyPrefix)
	for random := make([]byte, 1); b.Len() < keyLength-keyChecksum; {
		rand.Read(random)                           // never fails, crypto/rand
		if n := int(random[0]); n < 4*len(base62) { // beyond, the first characters would be more frequent
			b.WriteByte(base62[n%len(base62)])
		}
	}
	return keySecret{b.String() + keySum(b.String())}
}

// isKey reports whether a bearer token is an API key and not an access token.
func isKey(bearer string) bool { return strings.HasPrefix(bearer, keyPrefix) }

// parseKey checks form and checksum.
func parseKey(text string) (keySecret, error) {
	if len(text) != keyLength || !isKey(text) {
		return keySecret{}, errKeyForm
	}
	for i := len(keyPrefix); i < len(text); i++ {
		if strings.IndexByte(base62, text[i]) < 0 {
			return keySecret{}, errKeyForm
		}
	}
	if body := text[:keyLength-keyChecksum]; keySum(body) != text[keyLength-keyChecksum:] {
		return keySecret{}, errKeyForm
	}
	return keySecret{text}, nil
}

// keySum is the checksum of a key's text before it.
func keySum(body string) string {
	var digits [keyChecksum]byte
	sum := crc32.ChecksumIEEE([]byte(body))
	for i := keyChecksum - 1; i >= 0; i-- {
		digits[i] = base62[sum%uint32(len(base62))]
		sum /= uint32(len(base62))
	}
	return string(digits[:])
}

// hash is stored instead of the key. A slow hash protects secrets that can be
// guessed; 256 random bits can't, and each request would pay for it.
func (k keySecret) hash() []byte {
	sum := sha256.Sum256([]byte(k.text))
	return sum[:]
}

func (k keySecret) hint() string { return k.text[:hintLength] }

// String hides a key in logs and errors.
func (keySecret) String() string { return "[key]" }

// GoString hides a key in %#v.
func (keySecret) GoString() string { return "[key]" }
