package notice

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/google/uuid"
)

// UnsubscribeSecret is the name of the secret of tokens for unsubscribing.
const UnsubscribeSecret = "unsubscribe"

// RefusableKinds are the kinds of notice that a person may choose not to get.
// All others are about the security of an account, or were asked for.
var RefusableKinds = []string{
	KindTicketReceived, KindTicketAssigned, KindTicketUnassigned, KindTicketChanged, KindTicketCommented, KindRegistrationWaiting,
}

// GatheredKinds are the kinds that a digest replaces, for people who want one. The
// database gathers them (trigger outbox_recipient).
var GatheredKinds = []string{KindTicketAssigned, KindTicketUnassigned, KindTicketChanged, KindTicketCommented}

// RefusedBy are the kinds that are not mailed any more when a person unsubscribes
// from the kind: for a digest those that it gathers. None for a kind that can't be
// refused.
func RefusedBy(kind string) []string {
	switch {
	case kind == KindDigest:
		return GatheredKinds
	case slices.Contains(RefusableKinds, kind):
		return []string{kind}
	}
	return nil
}

// Subscription is what one link for unsubscribing ends: the mails of a kind to a
// person.
type Subscription struct {
	User uuid.UUID
	Kind string
}

// ErrToken is returned by ReadSubscription for a token that was not made with the
// same secret.
var ErrToken = errors.New("not a token for unsubscribing")

// macSize is the length of a token's code, in bytes.
const macSize = 16

// Token is the subscription with a code that nobody makes without the secret. It
// is valid for as long as the secret, since old mails are unsubscribed from, too.
func (s Subscription) Token(secret []byte) string {
	facts := append(s.User[:], s.Kind...)
	return base64.RawURLEncoding.EncodeToString(append(facts, s.code(secret)...))
}

func (s Subscription) code(secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("unsubscribe\x00"))
	mac.Write(s.User[:])
	mac.Write([]byte(s.Kind))
	return mac.Sum(nil)[:macSize]
}

// ReadSubscription returns the subscription of a token, or ErrToken.
func ReadSubscription(secret []byte, token string) (Subscription, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(data) < len(uuid.UUID{})+macSize || base64.RawURLEncoding.EncodeToString(data) != token {
		return Subscription{}, ErrToken
	}
	facts, code := data[:len(data)-macSize], data[len(data)-macSize:]
	s := Subscription{User: uuid.UUID(facts[:16]), Kind: string(facts[16:])}
	if !hmac.Equal(code, s.code(secret)) || RefusedBy(s.Kind) == nil {
		return Subscription{}, ErrToken
	}
	return s, nil
}

// unsubscribable adds to a mail of one recipient how not to get its kind any more,
// unless the kind can't be refused.
func (m Message) unsubscribable(links Links, to Person, kind string) Message {
	if links.Secret == nil || to.ID == uuid.Nil || RefusedBy(kind) == nil {
		return m
	}
	m.Unsubscribe = links.PublicURL + "/unsubscribe?token=" + Subscription{User: to.ID, Kind: kind}.Token(links.Secret)
	return m
}
