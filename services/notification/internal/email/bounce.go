package email

import (
	"crypto/hmac"
	"strings"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
)

// BounceAddresses makes the envelope sender of each mail, to which servers send
// their delivery reports: bounce+<id>.<token>@Domain, with the recipient's id and a
// keyed hash of it that nobody can make without the secret.
type BounceAddresses struct {
	Domain string // in ASCII and lower case
	Secret string // the key of the hash, set before the first use
}

// bouncePrefix leads to a local part of 60 of the 64 octets that RFC 5321, section
// 4.5.3.1.1 allows.
const bouncePrefix = "bounce+"

// For is the envelope sender of the mail to the recipient with the id.
func (b *BounceAddresses) For(id uuid.UUID) string {
	return bouncePrefix + id.String() + "." + b.token(id) + "@" + b.Domain
}

func (b *BounceAddresses) token(id uuid.UUID) string {
	return address.Token([]byte(b.Secret), "bounce address", id)
}

// Has reports whether an address is one of the bounce domain's bounce addresses, with
// whatever id and token. Without bounce addresses (nil) none is.
func (b *BounceAddresses) Has(addr string) bool {
	local, domain := splitAddress(addr)
	return b != nil && strings.EqualFold(domain, b.Domain) && hasPrefixFold(local, bouncePrefix)
}

// Recipient is the id in a bounce address; false when its token is not the one that
// For made.
func (b *BounceAddresses) Recipient(addr string) (uuid.UUID, bool) {
	if !b.Has(addr) {
		return uuid.Nil, false
	}
	local, _ := splitAddress(addr)
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

func splitAddress(addr string) (local, domain string) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return addr, ""
	}
	return addr[:at], addr[at+1:]
}
