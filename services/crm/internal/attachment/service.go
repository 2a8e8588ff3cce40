package attachment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
)

// Config has the dependencies and settings of the service.
type Config struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
	Log  *slog.Logger

	// MayRead reports by errs.Missing that a user may not read a ticket, or not the
	// internal comments on it.
	MayRead func(ctx context.Context, p identity.Principal, ticket uuid.UUID, internal bool) error
	// SignURL signs the path of a URL (identity.Service.SignURL).
	SignURL func(p identity.Principal, path string, lifetime time.Duration) (string, error)

	// Max is the size in bytes of the largest file; 0 means DefaultMax.
	Max int64
	// Quota is how many bytes a person may upload in 24 hours; 0 is no limit.
	Quota int64

	// Store is where new contents are kept, as of ParseStore; "" means Postgres. The
	// others remain where they are, and are read there.
	Store string
	// S3 are the credentials of buckets.
	S3 S3Keys

	// Clamd is the address of clamd, host:port or unix:/path; "" is none: nothing is
	// scanned then.
	Clamd string
}

// Service has the use cases of files.
type Service struct {
	Config
	q       *crmdb.Queries
	stores  *stores
	scanner clamd
	wake    func() // wakes the loop that scans
}

// NewService makes the service.
func NewService(c Config) *Service {
	if c.Max == 0 {
		c.Max = DefaultMax
	}
	return &Service{
		Config: c, q: crmdb.New(c.Pool), stores: newStores(c.Pool, cmp.Or(c.Store, Postgres), c.S3), scanner: clamd{c.Clamd}, wake: func() {},
	}
}

// Get returns a file that the user may read: their own while it belongs to nothing,
// and that of a ticket or comment that they may read. The error is errs.Missing for
// any other.
func (s *Service) Get(ctx context.Context, p identity.Principal, id uuid.UUID) (Attachment, error) {
	row, err := s.q.AttachmentGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Attachment{}, errs.Missing()
	}
	if err != nil {
		return Attachment{}, fmt.Errorf("get attachment: %w", err)
	}
	a := Attachment{
		ID: row.ID, OwnerID: row.OwnerID, Filename: row.Filename, MediaType: row.MediaType, Size: row.Size, SHA256: row.Sha256,
		Scan: Scan(row.Scan), CreatedAt: row.CreatedAt, TicketID: row.TicketID, CommentID: row.CommentID, Internal: row.Internal,
		place: place{row.Store, row.Object},
	}
	if a.TicketID != nil {
		return a, s.MayRead(ctx, p, *a.TicketID, a.Internal)
	}
	if a.OwnerID != p.UserID {
		return Attachment{}, errs.Missing()
	}
	return a, nil
}

// OfTicket lists the files of a ticket itself, not those of its comments.
func (s *Service) OfTicket(ctx context.Context, ticket uuid.UUID) ([]Attachment, error) {
	return OfTicket(ctx, s.q, ticket)
}

// OfComment lists the files of a comment. It does not check permission.
func (s *Service) OfComment(ctx context.Context, comment uuid.UUID) ([]Attachment, error) {
	lists, err := OfComments(ctx, s.q, []uuid.UUID{comment})
	return lists[comment], err
}

// Open reads the content of a file, which must be closed. The context lasts until
// then. The error is errs.CodeConflict for a file that is not clean.
func (s *Service) Open(ctx context.Context, a Attachment) (io.ReadSeekCloser, error) {
	if err := s.served(a); err != nil {
		return nil, err
	}
	return s.openPlace(ctx, a.place, a.Size)
}

var (
	errPending  = errs.New(errs.Conflict, errs.CodeConflict, "The file is still to be scanned for malware. Try again in a few seconds.")
	errInfected = errs.New(errs.Conflict, errs.CodeConflict, "The scanner found malware in this file, so it is not served.")
)

// served refuses a file that must not be served.
func (s *Service) served(a Attachment) error {
	switch {
	case a.Scan == ScanInfected:
		return errInfected
	case a.Scan != ScanClean && s.Clamd != "":
		return errPending
	}
	return nil
}
