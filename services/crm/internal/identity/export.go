package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
)

// exportBatch is how many rows one query of an export reads.
const exportBatch = 200

// Export prepares the JSON of all data stored about a person: profile,
// registration, mail preferences, sessions, API keys, tickets reported, comments written, files
// uploaded (without their content, which GET /v1/attachments/{id}/content has), mails sent,
// tickets followed, audit events by or about them. The returned function writes it, row by row in the order of time,
// so that an account of any size needs little memory. The error is
// errs.CodeNotFound for an unknown user. Each export is recorded in the audit.
func (s *Service) Export(ctx context.Context, actor Principal, id uuid.UUID) (func(context.Context, io.Writer) error, error) {
	u, err := s.User(ctx, id)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		return record(ctx, q, s.now(), audit{kind: auditExported, actor: actor.UserID, object: id})
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w io.Writer) error {
		e := export{ctx: ctx, q: s.q, w: w, user: id}
		if err := e.write(u); err != nil {
			return fmt.Errorf("export user: %w", err)
		}
		return nil
	}, nil
}

// export writes one document.
type export struct {
	ctx  context.Context
	q    *crmdb.Queries
	w    io.Writer
	user uuid.UUID
}

type exportedProfile struct {
	ID              uuid.UUID  `json:"id"`
	Name            string     `json:"name"`
	Email           string     `json:"email"`
	Role            Role       `json:"role"`
	Status          Status     `json:"status"`
	EmailVerifiedAt *time.Time `json:"email_verified_at"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
}

func (e export) write(u User) error {
	if err := e.field(`{"profile":`, exportedProfile{
		ID: u.ID, Name: u.Name, Email: u.Email, Role: u.Role, Status: u.Status,
		EmailVerifiedAt: u.EmailVerifiedAt, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}); err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		write func() error
	}{{"preferences", e.preferences}, {"sessions", e.sessions}, {"api_keys", e.keys}, {"tickets", e.tickets}, {"comments", e.comments}, {"attachments", e.attachments}, {"mails", e.mails}, {"follows", e.follows}, {"audit_events", e.auditEvents}} {
		if _, err := io.WriteString(e.w, `,"`+part.name+`":[`); err != nil {
			return err
		}
		if err := part.write(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if _, err := io.WriteString(e.w, "]"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(e.w, "}\n")
	return err
}

func (e export) field(prefix string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.w, prefix); err != nil {
		return err
	}
	_, err = e.w.Write(data)
	return err
}

// rows writes the rows of batch after batch as items of a JSON array, until one
// batch is not full.
func rows[Row any](e export, next func() ([]Row, error), item func(Row) any) error {
	for comma := ""; ; {
		batch, err := next()
		if err != nil {
			return err
		}
		for _, row := range batch {
			if err := e.field(comma, item(row)); err != nil {
				return err
			}
			comma = ","
		}
		if len(batch) < exportBatch {
			return nil
		}
	}
}

// preferences are one item, or none when the person never chose.
func (e export) preferences() error {
	type exported struct {
		Refused    []string `json:"refused"`
		Digest     string   `json:"digest"`
		DigestHour int16    `json:"digest_hour"`
		TimeZone   string   `json:"time_zone"`
	}
	row, err := e.q.PreferenceGet(e.ctx, e.user)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.field("", exported(row))
}

func (e export) sessions() error {
	type exported struct {
		ID        uuid.UUID   `json:"id"`
		CreatedAt time.Time   `json:"created_at"`
		UsedAt    time.Time   `json:"used_at"`
		ExpiresAt time.Time   `json:"expires_at"`
		RevokedAt *time.Time  `json:"revoked_at"`
		Address   *netip.Addr `json:"address"`
		UserAgent string      `json:"user_agent"`
	}
	args := crmdb.ExportSessionsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportSessionsRow, error) {
		return e.q.ExportSessions(e.ctx, args)
	}, func(r crmdb.ExportSessionsRow) any {
		args.After = r.ID
		return exported(r)
	})
}

func (e export) keys() error {
	type exported struct {
		ID         uuid.UUID      `json:"id"`
		Name       string         `json:"name"`
		Scopes     []string       `json:"scopes"`
		Networks   []netip.Prefix `json:"networks"`
		Hint       string         `json:"hint"`
		CreatedAt  time.Time      `json:"created_at"`
		ExpiresAt  time.Time      `json:"expires_at"`
		LastUsedAt *time.Time     `json:"last_used_at"`
	}
	args := crmdb.ExportKeysParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportKeysRow, error) {
		return e.q.ExportKeys(e.ctx, args)
	}, func(r crmdb.ExportKeysRow) any {
		args.After = r.ID
		return exported(r)
	})
}

func (e export) tickets() error {
	type exported struct {
		ID          uuid.UUID `json:"id"`
		Number      int64     `json:"number"`
		Title       string    `json:"title"`
		Description string    `json:"description"`
		Status      string    `json:"status"`
		Priority    string    `json:"priority"`
		Resolution  *string   `json:"resolution"`
		CreatedAt   time.Time `json:"created_at"`
		UpdatedAt   time.Time `json:"updated_at"`
	}
	args := crmdb.ExportTicketsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportTicketsRow, error) {
		return e.q.ExportTickets(e.ctx, args)
	}, func(r crmdb.ExportTicketsRow) any {
		args.AfterAt, args.After = r.CreatedAt, r.ID
		return exported(r)
	})
}

func (e export) comments() error {
	type exported struct {
		ID        uuid.UUID `json:"id"`
		TicketID  uuid.UUID `json:"ticket_id"`
		Body      string    `json:"body"`
		Internal  bool      `json:"internal"`
		CreatedAt time.Time `json:"created_at"`
	}
	args := crmdb.ExportCommentsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportCommentsRow, error) {
		return e.q.ExportComments(e.ctx, args)
	}, func(r crmdb.ExportCommentsRow) any {
		args.After = r.ID
		return exported(r)
	})
}

func (e export) attachments() error {
	type exported struct {
		ID        uuid.UUID  `json:"id"`
		Filename  string     `json:"filename"`
		MediaType string     `json:"media_type"`
		Size      int64      `json:"size"`
		Sha256    string     `json:"sha256"`
		TicketID  *uuid.UUID `json:"ticket_id"`
		CommentID *uuid.UUID `json:"comment_id"`
		CreatedAt time.Time  `json:"created_at"`
	}
	args := crmdb.ExportAttachmentsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportAttachmentsRow, error) {
		return e.q.ExportAttachments(e.ctx, args)
	}, func(r crmdb.ExportAttachmentsRow) any {
		args.AfterAt, args.After = r.CreatedAt, r.ID
		return exported(r)
	})
}

func (e export) mails() error {
	type exported struct {
		ID         uuid.UUID `json:"id"`
		ReceivedAt time.Time `json:"received_at"`
		FromName   string    `json:"from_name"`
		FromEmail  string    `json:"from_email"`
		Subject    string    `json:"subject"`
		MessageID  string    `json:"message_id"`
		Content    string    `json:"text"`
		Outcome    string    `json:"outcome"`
	}
	args := crmdb.ExportMailsParams{UserID: &e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportMailsRow, error) {
		return e.q.ExportMails(e.ctx, args)
	}, func(r crmdb.ExportMailsRow) any {
		args.After = r.ID
		return exported(r)
	})
}

func (e export) follows() error {
	type exported struct {
		TicketID  uuid.UUID `json:"ticket_id"`
		Number    int64     `json:"number"`
		CreatedAt time.Time `json:"created_at"`
	}
	args := crmdb.ExportFollowsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.ExportFollowsRow, error) {
		return e.q.ExportFollows(e.ctx, args)
	}, func(r crmdb.ExportFollowsRow) any {
		args.After = r.TicketID
		return exported(r)
	})
}

func (e export) auditEvents() error {
	type exported struct {
		ID        uuid.UUID       `json:"id"`
		Kind      string          `json:"kind"`
		ActorID   *uuid.UUID      `json:"actor_id"`
		ObjectID  *uuid.UUID      `json:"object_id"`
		Before    json.RawMessage `json:"before"`
		After     json.RawMessage `json:"after"`
		Address   *netip.Addr     `json:"address"`
		RequestID string          `json:"request_id"`
		CreatedAt time.Time       `json:"created_at"`
	}
	args := crmdb.ExportAuditEventsParams{UserID: e.user, MaxRows: exportBatch}
	return rows(e, func() ([]crmdb.AuditEvent, error) {
		return e.q.ExportAuditEvents(e.ctx, args)
	}, func(r crmdb.AuditEvent) any {
		args.BeforeAt, args.BeforeID = &r.CreatedAt, r.ID
		return exported{
			ID: r.ID, Kind: r.Kind, ActorID: r.ActorID, ObjectID: r.ObjectID, Before: nullIfEmpty(r.Before), After: nullIfEmpty(r.After),
			Address: r.Address, RequestID: r.RequestID, CreatedAt: r.CreatedAt,
		}
	})
}

func nullIfEmpty(b []byte) json.RawMessage {
	if b == nil {
		return json.RawMessage("null")
	}
	return b
}
