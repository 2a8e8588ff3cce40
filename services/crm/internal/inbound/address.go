package inbound

import (
	"crypto/hmac"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
)

// Audience is for whom a reply address was made. The address itself shows that its
// user received a mail to that audience.
type Audience string

// The audiences of mails about a ticket.
const (
	ToReporter Audience = "reporter"
	ToFollower Audience = "follower"
	ToStaff    Audience = "staff"
	ToInternal Audience = "internal" // staff, about an internal comment: answers are internal too
)

// audiences are all of them, in the order in which a token is compared.
var audiences = []Audience{ToReporter, ToFollower, ToStaff, ToInternal}

// Addresses makes and recognises the addresses to which people mail. The zero
// value has none.
type Addresses struct {
	local, domain string
	secret        *atomic.Pointer[[]byte]
}

// ReplySecret names the secret of addresses for answers in the table secrets.
const ReplySecret = "reply"

// MaxSupportLocal is the longest local part of a support address in octets, so that
// a reply address with any number fits the 64 octets of RFC 5321, section 4.5.3.1.1.
const MaxSupportLocal = 64 - len("+") - len("9223372036854775807") - len(".") - address.TokenLength

// NewAddresses takes the canonical support address (see package address) and the
// secret of the tokens. An empty support address means that no mail is taken in. Without
// a secret there are no addresses for answers until SetSecret.
func NewAddresses(support string, secret []byte) Addresses {
	local, domain, _ := strings.Cut(support, "@")
	a := Addresses{local, domain, &atomic.Pointer[[]byte]{}}
	if len(secret) > 0 {
		a.SetSecret(secret)
	}
	return a
}

// SetSecret sets the secret of the tokens, for all copies of a.
func (a Addresses) SetSecret(secret []byte) { a.secret.Store(&secret) }

// HasSecret reports whether there is a secret.
func (a Addresses) HasSecret() bool { return a.secret != nil && a.secret.Load() != nil }

// Set reports whether there is a support address.
func (a Addresses) Set() bool { return a.local != "" }

// Support is the address to which new tickets are mailed; "" if there is none.
func (a Addresses) Support() string {
	if !a.Set() {
		return ""
	}
	return a.local + "@" + a.domain
}

// ReplyTo is the address for answers to a ticket's mails to one audience,
// <support local part>+<number>.<token>@<domain>; "" if no mail is taken in.
func (a Addresses) ReplyTo(ticket uuid.UUID, number int64, audience Audience) string {
	if !a.Set() || !a.HasSecret() {
		return ""
	}
	return a.local + "+" + strconv.FormatInt(number, 10) + "." + a.token(ticket, audience) + "@" + a.domain
}

func (a Addresses) token(ticket uuid.UUID, audience Audience) string {
	return address.Token(*a.secret.Load(), "reply address\x00"+string(audience), ticket)
}

// replyAddress is what a recipient address says about a ticket. Only audience
// shows that it is one of ours.
type replyAddress struct {
	number int64
	token  string
}

// parse reads a reply address; ok is false for any other address.
func (a Addresses) parse(addr string) (r replyAddress, ok bool) {
	tag, ok := a.tag(addr)
	if !ok {
		return r, false
	}
	number, token, ok := strings.Cut(tag, ".")
	if !ok || len(token) != address.TokenLength {
		return r, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != number {
		return r, false
	}
	return replyAddress{n, token}, true
}

// audience is the one that the address was made for; ok is false for a token that
// is not the ticket's. The comparison takes the same time for every wrong token.
func (a Addresses) audience(r replyAddress, ticket uuid.UUID) (_ Audience, ok bool) {
	if !a.HasSecret() {
		return "", false
	}
	for _, audience := range audiences {
		if hmac.Equal([]byte(r.token), []byte(a.token(ticket, audience))) {
			return audience, true
		}
	}
	return "", false
}

// ours reports whether the address is the support address, with any tag.
func (a Addresses) ours(addr string) bool {
	_, ok := a.tag(addr)
	return ok
}

// tag returns what follows the "+" of an address of ours, "" without one.
func (a Addresses) tag(addr string) (tag string, ok bool) {
	if !a.Set() {
		return "", false
	}
	canonical, err := address.Parse(addr)
	if err != nil {
		return "", false
	}
	local, domain, _ := strings.Cut(canonical, "@")
	if domain != a.domain {
		return "", false
	}
	if local == a.local {
		return "", true
	}
	return strings.CutPrefix(local, a.local+"+")
}
