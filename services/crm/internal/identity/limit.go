package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
)

// limit allows an action max times in any span of time. The times are stored in
// PostgreSQL, so that the limit holds across replicas.
type limit struct {
	name string
	max  int
	span time.Duration
}

var (
	loginPerAccount    = limit{"login-account", 5, 15 * time.Minute} // failures
	loginPerAddress    = limit{"login-address", 20, time.Minute}     // failures
	registerPerAddress = limit{"register-address", 100, time.Hour}
	forgotPerAddress   = limit{"forgot-address", 100, time.Hour}
	// Each client network has its own quota for an account, so that requests of
	// others don't use up the person's. The second limit bounds the mails of all
	// networks to one mailbox; when it is reached, the newest token in the mailbox
	// is valid for at least 5 more minutes.
	resetPerAccount        = limit{"reset-account", 3, time.Hour}
	resetPerMailbox        = limit{"reset-mailbox", 5, resetTTL / 2}
	verificationPerAddress = limit{"verification-address", 3, time.Hour} // address of the mail
	verificationPerNetwork = limit{"verification-network", 100, time.Hour}
	refusalsRecorded       = limit{"refusal-recorded", 10, time.Minute} // per user and per key, in the audit
)

// quota is the use of a limit by one subject.
type quota struct {
	limit
	hits []time.Time // oldest first
}

// Quota describes one limit to a client: Limit times in any Window, of which
// Remaining are left, and one more after Reset.
type Quota struct {
	Policy           string
	Limit, Remaining int
	Window, Reset    time.Duration
}

func (u quota) at(now time.Time) Quota {
	return Quota{Policy: u.name, Limit: u.max, Remaining: u.max - len(u.hits), Window: u.span, Reset: u.freeIn(now)}
}

func (u quota) exhausted() bool { return len(u.hits) >= u.max }

// freeIn is the time until one more hit is allowed.
func (u quota) freeIn(now time.Time) time.Duration {
	if len(u.hits) == 0 {
		return 0
	}
	return max(u.hits[0].Add(u.span).Sub(now), 0)
}

func (u quota) refusal(now time.Time) error {
	return errs.New(errs.RateLimited, errs.CodeRateLimited, "Too many attempts. Wait before the next one.").
		After(max(u.freeIn(now), time.Second))
}

// key is the row's key. It contains a hash, so that the table has no addresses.
func (l limit) key(who string) string {
	sum := sha256.Sum256([]byte(who))
	return l.name + ":" + hex.EncodeToString(sum[:16])
}

// hit counts one action, unless the limit is reached: then ok is false.
func (l limit) hit(ctx context.Context, q *crmdb.Queries, who string, now time.Time) (u quota, ok bool, err error) {
	hits, err := q.RateLimitHit(ctx, crmdb.RateLimitHitParams{
		Key: l.key(who), At: now, ExpiresAt: now.Add(l.span), Since: now.Add(-l.span), MaxHits: int32(l.max),
	})
	if err == nil {
		return quota{l, hits}, true, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return quota{}, false, fmt.Errorf("count towards %s: %w", l.name, err)
	}
	u, err = l.read(ctx, q, who, now)
	return u, false, err
}

func (l limit) read(ctx context.Context, q *crmdb.Queries, who string, now time.Time) (quota, error) {
	hits, err := q.RateLimitRead(ctx, crmdb.RateLimitReadParams{Key: l.key(who), Since: now.Add(-l.span)})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return quota{}, fmt.Errorf("read %s: %w", l.name, err)
	}
	return quota{l, hits}, nil
}

// lock is read under a row lock: no hit is counted until the end of the
// transaction.
func (l limit) lock(ctx context.Context, q *crmdb.Queries, who string, now time.Time) (quota, error) {
	hits, err := q.RateLimitLock(ctx, crmdb.RateLimitLockParams{Key: l.key(who), Since: now.Add(-l.span)})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return quota{}, fmt.Errorf("lock %s: %w", l.name, err)
	}
	return quota{l, hits}, nil
}

func (l limit) reset(ctx context.Context, q *crmdb.Queries, who string) error {
	if err := q.RateLimitReset(ctx, l.key(who)); err != nil {
		return fmt.Errorf("delete %s: %w", l.name, err)
	}
	return nil
}

// clientOf is the client's address, nil where it is unknown.
func clientOf(ctx context.Context) *netip.Addr {
	if a := obs.Client(ctx); a.IsValid() {
		return &a
	}
	return nil
}

// loginLimits are the two limits against guessing passwords: per account and per
// client network. quotas has the rest of each when it was last read.
type loginLimits struct {
	account, network string
	quotas           []Quota
}

type subject struct {
	limit
	who string
}

func (g *loginLimits) subjects() [2]subject {
	return [2]subject{{loginPerAccount, g.account}, {loginPerAddress, g.network}}
}

// check fails where either limit is reached.
func (g *loginLimits) check(ctx context.Context, q *crmdb.Queries, now time.Time) error {
	return g.checkBy(ctx, q, now, limit.read)
}

// checkLocked is check under row locks: no failure is counted until the end of the
// transaction.
func (g *loginLimits) checkLocked(ctx context.Context, q *crmdb.Queries, now time.Time) error {
	return g.checkBy(ctx, q, now, limit.lock)
}

func (g *loginLimits) checkBy(ctx context.Context, q *crmdb.Queries, now time.Time,
	read func(limit, context.Context, *crmdb.Queries, string, time.Time) (quota, error),
) error {
	g.quotas = nil
	var refusal error
	for _, s := range g.subjects() {
		u, err := read(s.limit, ctx, q, s.who, now)
		if err != nil {
			return err
		}
		if u.exhausted() && refusal == nil {
			refusal = u.refusal(now)
		}
		g.quotas = append(g.quotas, u.at(now))
	}
	return refusal
}

// fail counts a wrong password towards both limits. Beyond a limit it returns the
// refusal instead of the wrong password, so that no more concurrent guesses than
// the limit are answered.
func (g *loginLimits) fail(ctx context.Context, q *crmdb.Queries, now time.Time) (refusal, err error) {
	g.quotas = nil
	for _, s := range g.subjects() {
		u, ok, err := s.hit(ctx, q, s.who, now)
		if err != nil {
			return nil, err
		}
		if !ok && refusal == nil {
			refusal = u.refusal(now)
		}
		g.quotas = append(g.quotas, u.at(now))
	}
	return refusal, nil
}

// succeed deletes the account's failures, unless a limit was reached while the
// password was being checked.
func (g *loginLimits) succeed(ctx context.Context, q *crmdb.Queries, now time.Time) error {
	if err := g.checkLocked(ctx, q, now); err != nil {
		return err
	}
	return loginPerAccount.reset(ctx, q, g.account)
}
