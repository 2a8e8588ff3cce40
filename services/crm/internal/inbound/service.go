package inbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// Config has the dependencies of the service.
type Config struct {
	Pool *pgxpool.Pool
	// Client has the mail; its token reads, acknowledges and deletes it.
	Client    *notifyapi.Client
	Tickets   *ticket.Service
	Files     *attachment.Service
	Addresses Addresses
	Now       func() time.Time
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// Service decides what becomes of mail that came in, once for each.
type Service struct {
	Config
	processed *prometheus.CounterVec
}

// answersPerHour is how many automatic answers a sender gets in any hour.
const answersPerHour = 5

var answerLimit = identity.NewAccountLimit("mail-answers", answersPerHour, time.Hour)

// NewService makes the service, with the metric inbound_mails_total{outcome}.
func NewService(c Config) *Service {
	s := &Service{Config: c, processed: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "inbound_mails_total", Help: "Mails that came in, by what became of them.",
	}, []string{"outcome"})}
	for _, o := range Outcomes {
		s.processed.WithLabelValues(string(o))
	}
	c.Registry.MustRegister(s.processed)
	return s
}

// result is what became of a mail.
type result struct {
	outcome Outcome
	reason  Reason
	sender  uuid.UUID // Nil for none, as the others
	ticket  uuid.UUID
	comment uuid.UUID
}

// process gives a mail its effect, unless it or a copy of it had it before. Everything
// is one transaction, so that a mail which is processed again, here or by another
// replica at the same time, has one effect.
func (s *Service) process(ctx context.Context, m notifyapi.InboundMail) (result, error) {
	var r result
	files, err := s.files(ctx, m)
	if err != nil {
		return r, err
	}
	err = pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			first, err := s.begin(ctx, q, m)
			if err != nil {
				return err
			}
			if !first {
				r, err = s.known(ctx, q, m)
				return err
			}
			if err := identity.VoidMailedTokens(ctx, q, s.Now(), m.Text, m.HTML); err != nil {
				return err
			}
			sit, err := s.situation(ctx, q, m)
			if err != nil {
				return err
			}
			if r, err = s.apply(ctx, q, sit, sit.decide(), files); err != nil {
				return err
			}
			return finish(ctx, q, m.ID, r)
		})
	})
	if err != nil {
		return r, fmt.Errorf("process mail: %w", err)
	}
	if r.ticket != uuid.Nil {
		s.Tickets.Changed()
	}
	return r, nil
}

// situation reads what decides about a mail.
func (s *Service) situation(ctx context.Context, q *crmdb.Queries, m notifyapi.InboundMail) (situation, error) {
	sit := situation{mail: m}
	if m.From != nil {
		sit.address = canonical(m.From.Email)
		sit.own = s.Addresses.ours(m.From.Email)
	}
	sit.toSupport = slices.ContainsFunc(addressed(m), s.Addresses.ours)
	if sit.own || sit.address == "" {
		return sit, nil
	}
	row, err := q.InboundSender(ctx, sit.address)
	switch {
	case err == nil:
		sit.sender = sender{row.ID, string(row.Role), row.Status == crmdb.UserStatusApproved}
	case !errors.Is(err, pgx.ErrNoRows):
		return sit, fmt.Errorf("find the sender: %w", err)
	}
	sit.target, err = s.target(ctx, q, m, sit.sender)
	return sit, err
}

// target finds the ticket that a mail is about: by a reply address, or else by its headers
// if the sender takes part in the ticket. A number in the subject is not looked at.
func (s *Service) target(ctx context.Context, q *crmdb.Queries, m notifyapi.InboundMail, from sender) (*target, error) {
	for _, email := range addressed(m) {
		r, ok := s.Addresses.parse(email)
		if !ok {
			continue
		}
		id, err := q.TicketFind(ctx, r.number)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find ticket: %w", err)
		}
		if to, ok := s.Addresses.audience(r, id); ok {
			return readTarget(ctx, q, id, from, to)
		}
	}
	for _, id := range threads(m) {
		t, err := readTarget(ctx, q, id, from, "")
		if err != nil {
			return nil, err
		}
		if t != nil && (t.isReporter || t.follows || from.staff()) {
			return t, nil
		}
	}
	return nil, nil
}

// readTarget returns nil for a ticket that does not exist.
func readTarget(ctx context.Context, q *crmdb.Queries, id uuid.UUID, from sender, to Audience) (*target, error) {
	row, err := q.InboundTicket(ctx, crmdb.InboundTicketParams{ID: id, SenderID: from.id})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ticket: %w", err)
	}
	return &target{ticket: id, number: row.Number, audience: to, isReporter: from.known() && row.ReporterID == from.id, follows: row.SenderFollows}, nil
}

// apply does what was decided.
func (s *Service) apply(ctx context.Context, q *crmdb.Queries, sit situation, d decision, files files) (result, error) {
	r := result{outcome: d.outcome, reason: d.reason, sender: sit.sender.id}
	if d.outcome == Ignored || d.outcome == Held && d.target == nil {
		return r, nil
	}
	author, err := s.author(ctx, q, sit)
	if err != nil {
		return r, err
	}
	r.sender = author.ID
	if d.confirmed {
		if err := identity.ConfirmAddress(ctx, q, author.ID, author.Email, s.Now()); err != nil {
			return r, err
		}
	}
	if d.target == nil {
		return s.newTicket(ctx, q, sit, author, r, body(wholeText(sit.mail), files.notes), files)
	}
	return s.comment(ctx, q, sit, author, d, r, files)
}

// comment writes a comment, or what takes its place: a new ticket if the old one was
// closed too long ago, a held comment beyond the limit.
func (s *Service) comment(ctx context.Context, q *crmdb.Queries, sit situation, author ticket.Viewer, d decision, r result, files files) (result, error) {
	r.ticket = d.target.ticket
	in := ticket.ByMail{Body: body(newText(sit.mail, s.ours), files.notes), Internal: d.internal, Files: files.ids}
	hold := func() (result, error) {
		c, err := s.Tickets.HoldComment(ctx, q, author, d.target.ticket, in)
		r.outcome, r.comment = Held, c.ID
		return r, err
	}
	if d.outcome == Held {
		return hold()
	}
	c, err := s.Tickets.CommentByMail(ctx, q, author, d.target.ticket, in)
	r.comment = c.ID
	switch {
	case errors.Is(err, ticket.ErrClosedTooLong):
		r.outcome, r.ticket, r.comment = Ticket, uuid.Nil, uuid.Nil
		notes := append(slices.Clone(files.notes), continues(d.target.number))
		return s.newTicket(ctx, q, sit, author, r, body(newText(sit.mail, s.ours), notes), files)
	case errs.HasCode(err, errs.CodeRateLimited):
		r.reason = HeldLimit
		return hold()
	}
	return r, err
}

// newTicket creates a ticket, or holds the mail beyond the limit.
func (s *Service) newTicket(ctx context.Context, q *crmdb.Queries, sit situation, author ticket.Viewer, r result, description string, files files) (result, error) {
	receipt, err := s.receives(ctx, q, sit, author)
	if err != nil {
		return r, err
	}
	t, err := s.Tickets.CreateByMail(ctx, q, author, ticket.ByMail{
		Title: title(sit.mail), Body: description, NoReceipt: !receipt, Unlimited: sit.released, Files: files.ids,
	})
	if errs.HasCode(err, errs.CodeRateLimited) {
		r.outcome, r.reason = Held, HeldLimit
		return r, nil
	}
	r.ticket = t.ID
	return r, err
}

// receives decides whether the sender gets an automatic answer: none to an automatic mail
// that was let in or one whose sender wants none, none to an answer to one of ours, and no
// more than answersPerHour.
func (s *Service) receives(ctx context.Context, q *crmdb.Queries, sit situation, author ticket.Viewer) (bool, error) {
	if sit.mail.Automatic != nil || sit.mail.NoAutoReply || parseSubject(sit.mail.Subject).tagged {
		return false, nil
	}
	err := answerLimit.Hit(ctx, q, author.ID, s.Now())
	if errs.HasCode(err, errs.CodeRateLimited) {
		return false, nil
	}
	return err == nil, err
}

// author returns the account of the sender, or makes one.
func (s *Service) author(ctx context.Context, q *crmdb.Queries, sit situation) (ticket.Viewer, error) {
	id, err := identity.EnsureCustomer(ctx, q, s.Now(), uuid.Nil, sit.address, oneLine(sit.mail.From.Name))
	if err != nil {
		return ticket.Viewer{}, err
	}
	user, err := q.UserGet(ctx, id)
	if err != nil {
		return ticket.Viewer{}, fmt.Errorf("read the sender: %w", err)
	}
	v := ticket.Viewer{ID: id, Name: user.Name, Email: user.Email, Role: string(user.Role)}
	if user.Status != crmdb.UserStatusApproved {
		v.Role = string(identity.RoleCustomer) // not staff
	}
	return v, nil
}

// ours reports whether a line of a mail names the service.
func (s *Service) ours(line string) bool {
	line = strings.ToLower(line)
	return strings.Contains(line, "@"+s.Addresses.domain) || strings.Contains(line, "."+s.Addresses.domain) || strings.Contains(line, "[fixdesk #")
}

// Original is a mail as it came in.
type Original struct {
	Record
	Text      string
	Truncated bool // the text is longer; the raw mail has all of it
}

// OriginalOfComment returns the mail that a comment came by. The error is errs.Missing for
// one that did not come by mail, or was removed.
func (s *Service) OriginalOfComment(ctx context.Context, v ticket.Viewer, ticketID, commentID uuid.UUID) (Original, error) {
	return s.original(ctx, v, ticketID, func(q *crmdb.Queries) (uuid.UUID, error) {
		return q.InboundOfComment(ctx, crmdb.InboundOfCommentParams{CommentID: &commentID, TicketID: &ticketID})
	})
}

// OriginalOfTicket returns the mail that a ticket came by; errs.Missing for another.
func (s *Service) OriginalOfTicket(ctx context.Context, v ticket.Viewer, ticketID uuid.UUID) (Original, error) {
	return s.original(ctx, v, ticketID, func(q *crmdb.Queries) (uuid.UUID, error) {
		return q.InboundOfTicket(ctx, &ticketID)
	})
}

func (s *Service) original(ctx context.Context, v ticket.Viewer, ticketID uuid.UUID, find func(*crmdb.Queries) (uuid.UUID, error)) (Original, error) {
	if _, err := s.Tickets.Get(ctx, v, ticketID); err != nil {
		return Original{}, err
	}
	q := crmdb.New(s.Pool)
	id, err := find(q)
	if err != nil {
		return Original{}, missing("find the original", err)
	}
	return read(ctx, q, id)
}

// Raw opens a mail's bytes; the caller closes them. The error is errs.Missing when the
// notification service no longer has them.
func (s *Service) Raw(ctx context.Context, id uuid.UUID) (io.ReadCloser, error) {
	content, err := s.Client.InboundRaw(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the raw mail: %w", away(err))
	}
	return content, nil
}

// away is the error for an API client of a call to the notification service that failed.
func away(err error) error {
	wait := 5 * time.Second
	var answer *notifyapi.Error
	if errors.As(err, &answer) {
		if answer.Status == http.StatusNotFound {
			return errs.Missing()
		}
		wait = max(wait, answer.RetryAfter)
	}
	return errs.New(errs.Unavailable, errs.CodeUnavailable, "The notification service does not answer. Try again soon.").Because(err).After(wait)
}

func missing(operation string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.Missing()
	}
	return fmt.Errorf("%s: %w", operation, err)
}
