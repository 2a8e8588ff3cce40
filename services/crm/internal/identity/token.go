package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// secretLength is the length of opaque tokens in bytes. 256 random bits can't be
// guessed, so that a plain SHA-256 is enough for the stored hash.
const secretLength = 32

// secret is an opaque token in binary. It must never be logged.
type secret [secretLength]byte

var errSecret = errors.New("not an opaque token")

func newSecret() secret {
	var s secret
	rand.Read(s[:]) // never fails, crypto/rand
	return s
}

// parseSecret decodes a token; each has exactly one encoding.
func parseSecret(text string) (secret, error) {
	var s secret
	if len(text) != base64.RawURLEncoding.EncodedLen(secretLength) {
		return s, errSecret
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != secretLength {
		return s, errSecret
	}
	return secret(raw), nil
}

// text is the encoding for the client or the mail.
func (s secret) text() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// String hides a token in logs and errors.
func (s secret) String() string { return "[token]" }

// GoString hides a token in %#v.
func (s secret) GoString() string { return "[token]" }

// hash is stored instead of the token.
func (s secret) hash() []byte {
	sum := sha256.Sum256(s[:])
	return sum[:]
}

// seal encrypts the successor for the holder of s: the key is derived from s (HKDF,
// RFC 5869), of which the database stores only the hash.
func (s secret) seal(successor secret) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, successor[:], nil), nil
}

// open decrypts the result of seal.
func (s secret) open(sealed []byte) (secret, error) {
	aead, err := s.aead()
	if err != nil {
		return secret{}, err
	}
	raw, err := aead.Open(nil, nil, sealed, nil)
	if err != nil || len(raw) != secretLength {
		return secret{}, fmt.Errorf("open the sealed successor: %w", errSecret)
	}
	return secret(raw), nil
}

func (s secret) aead() (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s[:], nil, "fixdesk refresh token successor", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the sealing cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
