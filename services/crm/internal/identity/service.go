package identity

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

// SessionTTL is the lifetime of a session, however often it is renewed.
const SessionTTL = 24 * time.Hour

// Lifetimes.
const (
	accessTTL       = 10 * time.Minute
	refreshGrace    = 10 * time.Second // for a client that lost the answer
	resetTTL        = 10 * time.Minute
	verificationTTL = 24 * time.Hour
)

// Audience is the aud of a user's access token (RFC 9068).
const Audience = "fixdesk"

// Config has the dependencies and settings of the service. All fields but
// SendVerification, AuditRetention, Reads and Verified are required.
type Config struct {
	Pool     *pgxpool.Pool
	Reads    *pg.Shared             // of Pool, for what is read together with others; nil for one of its own
	Keys     func() *jwtauth.KeySet // published as JWKS
	Signer   *jwtauth.Signer
	Verifier *jwtauth.Verifier // for Issuer and Audience
	Issuer   string            // iss of access tokens
	// URLVerifier is for Issuer and URLAudience.
	URLVerifier *jwtauth.Verifier
	HashCost    HashCost
	Now         func() time.Time
	// SendVerification mails each new account a token that verifies its address.
	SendVerification bool
	// AuditRetention is how long audit events are kept at least; 0 is for ever.
	AuditRetention time.Duration
	// Verified is called with the context of a request whose access token was verified,
	// right before its session is read from Reads; nil for nothing.
	Verified func(ctx context.Context)
	Wake     func() // is called after a commit that may have written to the outbox
	Log      *slog.Logger
}

// Service has the use cases of this package. It is safe for concurrent use, by any
// number of replicas on one database.
type Service struct {
	Config
	q      *crmdb.Queries
	hasher *hasher
	// principals reads the users of valid sessions.
	principals *pg.SharedRows[uuid.UUID, *crmdb.SessionPrincipalsRow]
	// minForgotTime is the least duration of a request for a password reset. It
	// hides whether the address is known.
	minForgotTime time.Duration
}

// New makes the service.
func New(c Config) *Service {
	s := &Service{Config: c, q: crmdb.New(c.Pool), hasher: newHasher(c.HashCost), minForgotTime: 100 * time.Millisecond}
	s.principals = pg.NewSharedRows(cmp.Or(c.Reads, pg.NewShared(c.Pool, c.Now)), s.readPrincipals)
	return s
}

// now has the database's precision, so that an answer to a write equals a later
// read.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// inTx runs f in a transaction, and repeats it as pg.Retry does. f must discard the
// results of a failed run.
func (s *Service) inTx(ctx context.Context, f func(q *crmdb.Queries) error) error {
	return pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return f(crmdb.New(tx)) })
	})
}

// Position is the row after which a page of a list begins, newest first.
type Position struct {
	At time.Time
	ID uuid.UUID
}

func (p *Position) args() (*time.Time, uuid.UUID) {
	if p == nil {
		return nil, uuid.Nil
	}
	return &p.At, p.ID
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

var (
	errInvalidToken    = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The token is invalid or has expired. Sign in again.")
	errResetToken      = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "This token is unknown, used or expired. Ask for another one.")
	errVerifyToken     = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "This token is unknown, used or expired, or the address has changed. Ask for another one.")
	errCredentials     = errs.New(errs.Unauthenticated, errs.CodeInvalidCredentials, "The address or the password is wrong.")
	errCurrentPassword = errs.New(errs.Unauthenticated, errs.CodeInvalidCredentials, "The current password is wrong.")
	errForbidden       = errs.New(errs.Forbidden, errs.CodeForbidden, "Your role does not allow this.")
	errEmailTaken      = errs.New(errs.Conflict, errs.CodeEmailTaken, "An account with this address exists already.")
	errLastAdmin       = errs.New(errs.Conflict, errs.CodeLastAdmin, "This is the last approved admin; approve another one first.")
	errDecided         = errs.New(errs.Conflict, errs.CodeAlreadyDecided, "This registration has already been decided.")
)

// fieldErrors collects the errors of an input by field.
type fieldErrors []errs.Field

func (f *fieldErrors) add(location string, err error) {
	if err != nil {
		*f = append(*f, errs.Field{Location: location, Message: err.Error()})
	}
}

func (f *fieldErrors) asError() error {
	if len(*f) == 0 {
		return nil
	}
	return errs.Validation(*f...)
}

func invalid(location string, err error) error {
	return errs.Validation(errs.Field{Location: location, Message: err.Error()})
}
