package jwtauth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxToken bounds the length in octets of what is parsed at all.
	maxToken = 4096
	// clockSkew is how far the issuer's clock may be ahead of this machine's.
	clockSkew = 5 * time.Second
	// thumbprintLength is the length of a kid.
	thumbprintLength = 43
)

// Verifier accepts the tokens of one issuer for one audience.
type Verifier struct {
	keys             Source
	issuer, audience string
	now              func() time.Time
	parser           *jwt.Parser
	cache            *cache
}

// NewVerifier makes a verifier that looks up each token's key in keys.
func NewVerifier(keys Source, issuer, audience string, now func() time.Time) *Verifier {
	return &Verifier{
		keys: keys, issuer: issuer, audience: audience, now: now, cache: newCache(cacheSize),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{algorithm}), jwt.WithStrictDecoding(),
			jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
		),
	}
}

// Verify checks the signature and the claims (RFC 8725). The error of a token that
// is refused has ErrInvalid in its chain. When the keys are not available, so that
// the token can't be checked, it is an *errs.Error of kind Unavailable instead.
func (v *Verifier) Verify(token string) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, fmt.Errorf("%w: too long", ErrInvalid)
	}
	sum := digest(token)
	if hit, ok := v.cache.get(sum, v.now()); ok {
		// A cached token is refused when its key was withdrawn.
		key, err := v.keys.PublicKey(hit.kid)
		if err != nil {
			return Claims{}, err
		}
		if key.Equal(hit.key) {
			return hit.claims.clone(), nil
		}
	}
	claims, kid, key, err := v.verify(token)
	if err != nil {
		return Claims{}, err
	}
	v.cache.put(sum, verified{claims: claims, kid: kid, key: key})
	return claims.clone(), nil
}

func (v *Verifier) verify(token string) (Claims, string, ed25519.PublicKey, error) {
	kid, err := readHeader(token)
	if err != nil {
		return Claims{}, "", nil, err
	}
	key, err := v.keys.PublicKey(kid)
	if err != nil {
		return Claims{}, "", nil, err
	}
	var wire wireClaims
	if _, err := v.parser.ParseWithClaims(token, &wire, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return Claims{}, "", nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := v.check(wire); err != nil {
		return Claims{}, "", nil, err
	}
	return Claims{
		Issuer: wire.Issuer, Subject: wire.Subject, Audience: wire.Audience[0],
		SessionID: wire.SessionID, ID: wire.ID, Scope: strings.Fields(wire.Scope),
		IssuedAt: time.Unix(*wire.IssuedAt, 0), ExpiresAt: time.Unix(*wire.ExpiresAt, 0),
	}, kid, key, nil
}

// check refuses what the library accepts.
func (v *Verifier) check(c wireClaims) error {
	switch {
	case c.Subject == "" || c.ID == "" || c.IssuedAt == nil:
		return fmt.Errorf("%w: sub, jti or iat is missing", ErrInvalid)
	case len(c.Audience) != 1:
		return fmt.Errorf("%w: more than one audience", ErrInvalid)
	case *c.IssuedAt > v.now().Add(clockSkew).Unix():
		return fmt.Errorf("%w: issued in the future", ErrInvalid)
	case *c.ExpiresAt <= *c.IssuedAt:
		return fmt.Errorf("%w: expires before it is issued", ErrInvalid)
	}
	return nil
}

// readHeader checks the JOSE header by hand, since the library accepts crit,
// b64 and any typ, and returns the kid. Nothing but alg, typ and kid may be in
// it: so no jwk, jku, x5u or x5c is ever looked at.
func readHeader(token string) (kid string, err error) {
	// encoding/base64 skips line breaks even when it is strict.
	if strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("%w: line break", ErrInvalid)
	}
	segment, _, _ := strings.Cut(token, ".")
	data, err := encoding.DecodeString(segment)
	if err != nil {
		return "", fmt.Errorf("%w: header is not base64url", ErrInvalid)
	}
	header, err := stringMembers(data)
	if err != nil {
		return "", fmt.Errorf("%w: header: %w", ErrInvalid, err)
	}
	kid = header["kid"]
	switch {
	case len(header) != 3 || header["alg"] != algorithm || header["typ"] != tokenType:
		return "", fmt.Errorf("%w: header must have alg %s, typ %s, a kid and nothing else", ErrInvalid, algorithm, tokenType)
	case !isThumbprint(kid):
		return "", fmt.Errorf("%w: kid is no thumbprint", ErrInvalid)
	}
	return kid, nil
}

var errHeaderForm = errors.New("not one object of distinct text members")

// stringMembers reads a JSON object whose values are strings and whose names
// are not repeated.
func stringMembers(data []byte) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errHeaderForm
	}
	members := map[string]string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errHeaderForm
		}
		value, err := dec.Token()
		text, isText := value.(string)
		if err != nil || !isText {
			return nil, errHeaderForm
		}
		key, _ := name.(string)
		if _, repeated := members[key]; repeated {
			return nil, errHeaderForm
		}
		members[key] = text
	}
	if _, err := dec.Token(); err != nil || dec.InputOffset() != int64(len(data)) {
		return nil, errHeaderForm
	}
	return members, nil
}

func isThumbprint(kid string) bool {
	if len(kid) != thumbprintLength {
		return false
	}
	_, err := encoding.DecodeString(kid)
	return err == nil
}
