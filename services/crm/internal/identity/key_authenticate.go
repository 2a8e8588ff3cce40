package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
)

// authenticateKey is Authenticate for an API key. A key with a typing error is
// refused by its checksum, without the database; any other costs one statement,
// and once a minute a second one that records the use.
func (s *Service) authenticateKey(ctx context.Context, bearer string, allow []string, scope string) (context.Context, error) {
	p, key, err := s.readKey(ctx, bearer)
	if err != nil {
		return nil, err
	}
	ctx = WithPrincipal(ctx, p)
	if err := s.admitKey(ctx, p, key); err != nil {
		return ctx, err
	}
	refused := audit{kind: auditRefused, actor: p.UserID, object: p.KeyID, after: map[string]string{"role": string(p.Role), "scope": scope}}
	switch {
	case scope == "":
		return ctx, errNoKeys
	case !slices.Contains(key.Scopes, scope):
		return ctx, s.refuse(ctx, p.KeyID, refused, errScope)
	case !slices.Contains(allow, string(p.Role)):
		return ctx, s.refuse(ctx, p.KeyID, refused, errForbidden)
	}
	return ctx, nil
}

// readKey returns the owner of a valid key; errs.CodeInvalidToken for any other.
func (s *Service) readKey(ctx context.Context, text string) (Principal, crmdb.KeyPrincipalRow, error) {
	secret, err := parseKey(text)
	if err != nil {
		return Principal{}, crmdb.KeyPrincipalRow{}, errInvalidKey.Because(err)
	}
	row, err := s.q.KeyPrincipal(ctx, crmdb.KeyPrincipalParams{SecretHash: secret.hash(), Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return Principal{}, crmdb.KeyPrincipalRow{}, errInvalidKey
	}
	if err != nil {
		return Principal{}, crmdb.KeyPrincipalRow{}, fmt.Errorf("read key: %w", err)
	}
	return Principal{
		UserID: row.ID, KeyID: row.KeyID, Name: row.Name, Email: row.Email, Role: Role(row.Role), keyHash: string(secret.hash()),
		Unverified: s.SendVerification && !row.Verified,
	}, row, nil
}

// admitKey refuses a use from outside the key's networks, and records any other.
func (s *Service) admitKey(ctx context.Context, p Principal, key crmdb.KeyPrincipalRow) error {
	if !inNetworks(key.Networks, obs.Client(ctx)) {
		return s.refuse(ctx, p.KeyID, audit{kind: auditKeyRefused, actor: p.UserID, object: p.KeyID}, errNetwork)
	}
	now := s.now()
	before := now.Add(-keyUseInterval)
	if key.LastUsedAt != nil && key.LastUsedAt.After(before) {
		return nil
	}
	if err := s.q.KeyUse(ctx, crmdb.KeyUseParams{ID: key.KeyID, Now: now, Before: before}); err != nil {
		return fmt.Errorf("record the use of a key: %w", err)
	}
	return nil
}

// inNetworks reports whether the client is in one of the networks; no networks
// contain every client.
func inNetworks(networks []netip.Prefix, client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	return len(networks) == 0 || slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(client) })
}

// checkKey is Check for a principal who uses an API key.
func (s *Service) checkKey(ctx context.Context, p Principal) error {
	row, err := s.q.KeyPrincipal(ctx, crmdb.KeyPrincipalParams{SecretHash: []byte(p.keyHash), Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return errInvalidKey
	}
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if Role(row.Role) != p.Role {
		return errForbidden
	}
	return nil
}
