package email

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

// BounceAddresses makes the envelope sender of each mail, to which servers send
// their delivery reports: bounce+<id>.<token>@Domain, with the recipient's id and a
// keyed hash of it that nobody can make without the secret.
type BounceAddresses struct {
	Domain string // in ASCII and lower case
	Secret string // the key of the hash, set before the first use
}

const (
	bouncePrefix = "bounce+"
	// tokenBytes leave 80 bits of the hash. With it the local part has 60 of the 64
	// octets that RFC 5321, section 4.5.3.1.1 allows.
	tokenBytes = 10
)

// lowerBase32 has one case, since servers may change the case of a local part.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// For is the envelope sender of the mail to the recipient with the id.
func (b *BounceAddresses) For(id uuid.UUID) string {
	return bouncePrefix + id.String() + "." + b.token(id) + "@" + b.Domain
}

func (b *BounceAddresses) token(id uuid.UUID) string {
	mac := hmac.New(sha256.New, []byte(b.Secret))
	mac.Write([]byte("bounce address\x00"))
	mac.Write(id[:])
	return lowerBase32.EncodeToString(mac.Sum(nil)[:tokenBytes])
}

// Has reports whether an address is one of the bounce domain's bounce addresses, with
// whatever id and token. Without bounce addresses (nil) none is.
func (b *BounceAddresses) Has(address string) bool {
	local, domain := splitAddress(address)
	return b != nil && strings.EqualFold(domain, b.Domain) && hasPrefixFold(local, bouncePrefix)
}

// Recipient is the id in a bounce address; false when its token is not the one that
// For made.
func (b *BounceAddresses) Recipient(address string) (uuid.UUID, bool) {
	if !b.Has(address) {
		return uuid.Nil, false
	}
	local, _ := splitAddress(address)
	text, token, _ := strings.Cut(strings.ToLower(local[len(bouncePrefix):]), ".")
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.Nil, false
	}
	return id, hmac.Equal([]byte(token), []byte(b.token(id)))
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func splitAddress(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, ""
	}
	return address[:at], address[at+1:]
}
