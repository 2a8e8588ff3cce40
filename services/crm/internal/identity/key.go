package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Limits of API keys.
const (
	maxKeys        = 50 // valid ones of a user
	maxKeySecrets  = 5  // valid ones of a key
	maxKeyName     = 100
	maxKeyNetworks = 20
	keyTTL         = 90 * 24 * time.Hour // unless the request says otherwise
	maxKeyTTL      = 366 * 24 * time.Hour
	maxKeyOverlap  = 7 * 24 * time.Hour
	keptKeys       = 30 * 24 * time.Hour // after they expired
	keyUseInterval = time.Minute         // between two writes of LastUsedAt
)

var (
	errInvalidKey     = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The API key is unknown, revoked or expired.")
	errNoKeys         = errs.New(errs.Forbidden, errs.CodeForbidden, "This can't be done with an API key. Sign in to do it.")
	errScope          = errs.New(errs.Forbidden, errs.CodeForbidden, "The API key lacks the scope for this.")
	errNetwork        = errs.New(errs.Forbidden, errs.CodeForbidden, "The API key may not be used from this network.")
	errScopeForAdmins = errs.New(errs.Forbidden, errs.CodeForbidden, "Only admins may have a key with these scopes.")
	errNotOwner       = errs.New(errs.Forbidden, errs.CodeForbidden, "Only its owner may rotate a key; an admin may revoke it.")
	errTooManyKeys    = errs.New(errs.Conflict, errs.CodeConflict, "You have 50 valid keys. Revoke one first.")
	errTooManySecrets = errs.New(errs.Conflict, errs.CodeConflict, "The key was rotated too often within the overlap. Wait, or rotate it without an overlap.")
	errKeyExpired     = errs.New(errs.Conflict, errs.CodeConflict, "The key has expired. Create another one.")
)

// Key describes an API key, without its secret. Hint is the beginning of its
// newest secret.
type Key struct {
	ID, OwnerID uuid.UUID
	OwnerName   string
	Name        string
	Scopes      []Scope
	Networks    []netip.Prefix // empty: any
	Hint        string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	LastUsedAt  *time.Time // to the minute; nil: never
}

// NewKey is a key to be created. Networks are in CIDR notation (RFC 4632, RFC
// 4291); none allows any. Without ExpiresAt it is valid for 90 days.
type NewKey struct {
	Name      string
	Scopes    []Scope
	Networks  []string
	ExpiresAt *time.Time
}

var (
	errKeyScope    = errors.New("must be one of the scopes, each once")
	errKeyNetwork  = errors.New("must be a network such as 203.0.113.0/24 or 2001:db8::/32, without bits beyond its length")
	errKeyNetworks = fmt.Errorf("must have at most %d networks", maxKeyNetworks)
	errKeyOverlap  = errors.New("must be at least 0 and at most 604800")
	errKeyExpiry   = errors.New("must be in the future, at most 366 days ahead")
)

// clean returns the key as it is stored, or an error with every invalid field.
func (n NewKey) clean(now time.Time) (Key, error) {
	var wrong fieldErrors
	name, err := text.Name(n.Name, maxKeyName)
	wrong.add("body.name", err)
	scopes := []Scope{}
	for _, scope := range Scopes {
		if slices.Contains(n.Scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == 0 || len(scopes) != len(n.Scopes) {
		wrong.add("body.scopes", errKeyScope)
	}
	networks := []netip.Prefix{}
	for i, written := range n.Networks {
		network, err := parseNetwork(written)
		wrong.add(fmt.Sprintf("body.networks[%d]", i), err)
		networks = append(networks, network)
	}
	if len(networks) > maxKeyNetworks {
		wrong.add("body.networks", errKeyNetworks)
	}
	expires, err := keyExpiry(n.ExpiresAt, now.Add(keyTTL), now)
	wrong.add("body.expires_at", err)
	return Key{Name: name, Scopes: scopes, Networks: networks, CreatedAt: now, ExpiresAt: expires}, wrong.asError()
}

func parseNetwork(written string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(written)
	if err != nil || network != network.Masked() || network.Addr().Is4In6() {
		return netip.Prefix{}, errKeyNetwork
	}
	return network, nil
}

func keyExpiry(wanted *time.Time, byDefault, now time.Time) (time.Time, error) {
	if wanted == nil {
		return byDefault, nil
	}
	if !wanted.After(now) || wanted.After(now.Add(maxKeyTTL)) {
		return time.Time{}, errKeyExpiry
	}
	return wanted.UTC().Truncate(time.Microsecond), nil
}

// keyState has the facts about a key for the audit. Its name is not among them,
// since it may name a person.
type keyState struct {
	OwnerID    uuid.UUID  `json:"owner_id"`
	Scopes     []Scope    `json:"scopes"`
	Networks   int        `json:"networks"`
	ExpiresAt  time.Time  `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

func stateOfKey(k Key) keyState {
	return keyState{OwnerID: k.OwnerID, Scopes: k.Scopes, Networks: len(k.Networks), ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt}
}

// CreateKey makes a key of the caller and returns its secret, which is not stored.
// The owner is notified by mail. The errors are errs.CodeForbidden for scopes of
// admins and errs.CodeConflict when the owner has 50 valid keys.
func (s *Service) CreateKey(ctx context.Context, p Principal, n NewKey) (Key, string, error) {
	k, err := n.clean(s.now())
	if err != nil {
		return Key{}, "", err
	}
	if p.Role != RoleAdmin && slices.ContainsFunc(k.Scopes, isForAdmins) {
		return Key{}, "", errScopeForAdmins
	}
	k.ID, k.OwnerID, k.OwnerName = newID(), p.UserID, p.Name
	secret := newKeySecret()
	k.Hint = secret.hint()
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		if _, err := lockUser(ctx, q, p.UserID); errs.HasCode(err, errs.CodeNotFound) { // erased meanwhile
			return errInvalidToken
		} else if err != nil {
			return err
		}
		now := s.now()
		k.CreatedAt = now
		n, err := q.KeyCount(ctx, crmdb.KeyCountParams{UserID: p.UserID, Now: now})
		if err != nil {
			return fmt.Errorf("count keys: %w", err)
		}
		if n >= maxKeys {
			return errTooManyKeys
		}
		if err := q.KeyInsert(ctx, crmdb.KeyInsertParams{
			ID: k.ID, UserID: k.OwnerID, Name: k.Name, Scopes: toText(k.Scopes), Networks: k.Networks, Hint: k.Hint, Now: now, ExpiresAt: k.ExpiresAt,
		}); err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		return issueKey(ctx, q, p, k.ID, secret, now, audit{kind: auditKeyCreated, actor: p.UserID, object: k.ID, after: stateOfKey(k)})
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create key: %w", err)
	}
	s.Wake()
	return k, secret.text, nil
}

// issueKey stores a new secret of a key, records that and notifies the owner.
func issueKey(ctx context.Context, q *crmdb.Queries, owner Principal, id uuid.UUID, secret keySecret, now time.Time, a audit) error {
	if err := q.KeySecretInsert(ctx, crmdb.KeySecretInsertParams{SecretHash: secret.hash(), KeyID: id, Now: now}); err != nil {
		return fmt.Errorf("insert secret: %w", err)
	}
	to := notice.Person{ID: owner.UserID, Name: owner.Name, Email: owner.Email}
	if err := outbox.Add(ctx, q, now, to.ID, notice.AccountChanged{To: to, Event: notice.KeyIssued}); err != nil {
		return err
	}
	return record(ctx, q, now, a)
}

// Rotation is the request for a new secret of a key. All earlier ones end after
// Overlap, 0 to 7 days, or earlier if an earlier rotation said so. With ExpiresAt
// the key itself gets another expiry.
type Rotation struct {
	ID        uuid.UUID
	Overlap   time.Duration
	ExpiresAt *time.Time
}

// RotateKey makes a new secret of one of the caller's keys and returns it, and
// notifies the owner by mail. The errors are errs.CodeNotFound,
// errs.CodeForbidden for an admin who is not the owner, and errs.CodeConflict for
// a key that has expired or has five valid secrets.
func (s *Service) RotateKey(ctx context.Context, p Principal, r Rotation) (Key, string, error) {
	if r.Overlap < 0 || r.Overlap > maxKeyOverlap {
		return Key{}, "", invalid("body.overlap_seconds", errKeyOverlap)
	}
	secret := newKeySecret()
	var k Key
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		before, err := lockKey(ctx, q, p, r.ID)
		if err != nil {
			return err
		}
		now := s.now()
		switch {
		case before.OwnerID != p.UserID:
			return errNotOwner
		case !before.ExpiresAt.After(now):
			return errKeyExpired
		}
		k = before
		if k.ExpiresAt, err = keyExpiry(r.ExpiresAt, k.ExpiresAt, now); err != nil {
			return invalid("body.expires_at", err)
		}
		k.Hint = secret.hint()
		if err := q.KeyRotate(ctx, crmdb.KeyRotateParams{ID: r.ID, Hint: k.Hint, ExpiresAt: k.ExpiresAt}); err != nil {
			return fmt.Errorf("update key: %w", err)
		}
		if err := endSecrets(ctx, q, r.ID, now, now.Add(r.Overlap)); err != nil {
			return err
		}
		return issueKey(ctx, q, p, r.ID, secret, now, audit{
			kind: auditKeyRotated, actor: p.UserID, object: r.ID, before: stateOfKey(before), after: stateOfKey(k),
		})
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("rotate key: %w", err)
	}
	s.Wake()
	return k, secret.text, nil
}

// endSecrets ends all secrets of a key after the overlap, if one more is allowed.
func endSecrets(ctx context.Context, q *crmdb.Queries, id uuid.UUID, now, until time.Time) error {
	if err := q.KeySecretsEnd(ctx, crmdb.KeySecretsEndParams{KeyID: id, Until: until}); err != nil {
		return fmt.Errorf("end secrets: %w", err)
	}
	n, err := q.KeySecretsCount(ctx, crmdb.KeySecretsCountParams{KeyID: id, Now: now})
	if err != nil {
		return fmt.Errorf("count secrets: %w", err)
	}
	if n >= maxKeySecrets {
		return errTooManySecrets
	}
	return nil
}

// lockKey locks a key that the caller may see: their own one, or any for an admin.
func lockKey(ctx context.Context, q *crmdb.Queries, p Principal, id uuid.UUID) (Key, error) {
	row, err := q.KeyLock(ctx, id)
	return visibleKey(p, keyOf(crmdb.KeyGetRow(row)), err)
}

// visibleKey is errs.CodeNotFound for a key that doesn't exist and for one that
// the caller may not see.
func visibleKey(p Principal, k Key, err error) (Key, error) {
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	if err != nil || k.OwnerID != p.UserID && p.Role != RoleAdmin {
		return Key{}, errs.Missing()
	}
	return k, nil
}

func keyOf(r crmdb.KeyGetRow) Key {
	return Key{
		ID: r.ID, OwnerID: r.UserID, OwnerName: r.OwnerName, Name: r.Name, Scopes: toScopes(r.Scopes), Networks: r.Networks, Hint: r.Hint,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt,
	}
}

// RevokeKey deletes a key of the caller, or for an admin any. It is refused from
// the next request on, at every replica. The audit keeps what it was allowed and
// when it was used last.
func (s *Service) RevokeKey(ctx context.Context, p Principal, id uuid.UUID) error {
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		k, err := lockKey(ctx, q, p, id)
		if err != nil {
			return err
		}
		if _, err := q.KeyDelete(ctx, id); err != nil {
			return fmt.Errorf("delete key: %w", err)
		}
		return record(ctx, q, s.now(), audit{kind: auditKeyRevoked, actor: p.UserID, object: id, before: stateOfKey(k)})
	})
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}

// Key returns a key of the caller, or for an admin any; errs.CodeNotFound
// otherwise.
func (s *Service) Key(ctx context.Context, p Principal, id uuid.UUID) (Key, error) {
	row, err := s.q.KeyGet(ctx, id)
	return visibleKey(p, keyOf(row), err)
}

// APIKeys lists the keys of one user, or with nil those of all, newest first, at
// most n after the given position. Keys of others are for admins:
// errs.CodeForbidden. Those that expired are listed for 30 days.
func (s *Service) APIKeys(ctx context.Context, p Principal, owner *uuid.UUID, after *Position, n int) ([]Key, error) {
	if p.Role != RoleAdmin && (owner == nil || *owner != p.UserID) {
		return nil, errForbidden
	}
	at, id := after.args()
	rows, err := s.q.KeyList(ctx, crmdb.KeyListParams{UserID: owner, BeforeAt: at, BeforeID: id, MaxRows: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	keys := make([]Key, 0, len(rows))
	for _, r := range rows {
		keys = append(keys, keyOf(crmdb.KeyGetRow(r)))
	}
	return keys, nil
}
