package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
	"fixdesk/services/notification/internal/suppression"
)

// maxReports is how many reports are kept of one recipient.
const maxReports = 100

// DeliveryReportConfig has the dependencies of DeliveryReports; all fields are required.
type DeliveryReportConfig struct {
	Bounces  *email.BounceAddresses // without a domain, reports are found by the Message-ID alone
	Now      func() time.Time
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// DeliveryReports applies delivery reports and complaints to the recipients that they are
// about.
type DeliveryReports struct {
	DeliveryReportConfig
	applied *prometheus.CounterVec
}

// NewDeliveryReports makes one.
func NewDeliveryReports(c DeliveryReportConfig) *DeliveryReports {
	r := &DeliveryReports{DeliveryReportConfig: c, applied: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_reports_total", Help: "Mails about mails that were sent, by what became of them.",
	}, []string{"result"})}
	for _, res := range []result{resultBounced, resultComplaint, resultRecorded, resultForged, resultUnknown, resultIgnored} {
		r.applied.WithLabelValues(string(res))
	}
	c.Registry.MustRegister(r.applied)
	return r
}

// result is what became of a report.
type result string

const (
	resultBounced   result = "bounced"   // the recipient's mail failed, and the address may be suppressed
	resultComplaint result = "complaint" // the address is suppressed
	resultRecorded  result = "recorded"  // nothing but the record
	resultForged    result = "forged"    // the token of the address is not ours
	resultUnknown   result = "unknown"   // about no mail that is stored
	resultIgnored   result = "ignored"   // to a bounce address, and no report that can be read
	resultNone      result = ""          // any other mail
)

// Apply applies a mail that came in, if it is a report, within the transaction that
// stores what it says. to are its envelope recipients. It is handled when it is a report
// about a stored mail, and when it went to a bounce address alone, whatever it says:
// no person writes there. Any other mail is the consumer's.
//
// The report is about the recipient of the bounce address that it went to, whose token
// must be right. A report to another address is about the mail whose envelope sender or
// Message-ID it names.
func (r *DeliveryReports) Apply(ctx context.Context, tx pgx.Tx, to []string, raw []byte) (handled bool, err error) {
	res, err := r.apply(ctx, notificationdb.New(tx), to, raw)
	if err != nil || res == resultNone {
		return false, err
	}
	r.applied.WithLabelValues(string(res)).Inc()
	if res == resultForged {
		r.Logger.WarnContext(ctx, "report with a wrong token ignored")
	}
	onlyBounces := len(to) > 0 && !slices.ContainsFunc(to, func(a string) bool { return !r.Bounces.Has(a) })
	return onlyBounces || res == resultBounced || res == resultComplaint || res == resultRecorded, nil
}

func (r *DeliveryReports) apply(ctx context.Context, q *notificationdb.Queries, to []string, raw []byte) (result, error) {
	report, isReport := ParseReport(raw)
	id, found := r.byAddress(to)
	switch {
	case found == tokenWrong:
		return resultForged, nil
	case !isReport && found == tokenRight:
		return resultIgnored, nil
	case !isReport:
		return resultNone, nil
	}
	domain := ""
	if found == tokenAbsent {
		if id, domain, found = r.byCopy(report); found != tokenRight {
			return map[tokenState]result{tokenWrong: resultForged, tokenAbsent: resultUnknown}[found], nil
		}
	}
	target, err := q.ReportTarget(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return resultUnknown, nil
	}
	if err != nil {
		return resultNone, fmt.Errorf("find the recipient of a report: %w", err)
	}
	if !target.Tried || domain != "" && !strings.EqualFold(domain, target.MessageDomain) {
		return resultUnknown, nil
	}
	if report.Kind == ReportComplaint {
		return r.complaint(ctx, q, target, report)
	}
	return r.delivery(ctx, q, target, report)
}

// tokenState is whether an address names a recipient.
type tokenState int

const (
	tokenAbsent tokenState = iota // no bounce address
	tokenWrong
	tokenRight
)

// byAddress finds the recipient whose bounce address is among the addresses.
func (r *DeliveryReports) byAddress(to []string) (uuid.UUID, tokenState) {
	state := tokenAbsent
	for _, a := range to {
		if id, ok := r.Bounces.Recipient(a); ok {
			return id, tokenRight
		}
		if r.Bounces.Has(a) {
			state = tokenWrong
		}
	}
	return uuid.Nil, state
}

// byCopy finds the recipient by what the report says of the mail: its envelope
// sender or, without one of ours, its Message-ID, whose domain is returned.
func (r *DeliveryReports) byCopy(report Report) (id uuid.UUID, domain string, state tokenState) {
	if id, state = r.byAddress([]string{report.Sender}); state != tokenAbsent {
		return id, "", state
	}
	id, domain, ok := email.RecipientOf(report.MessageID)
	if !ok {
		return uuid.Nil, "", tokenAbsent
	}
	return id, domain, tokenRight
}

// delivery applies a delivery report: a failure ends the recipient as bounced, and
// suppresses the address when its cause lasts.
func (r *DeliveryReports) delivery(ctx context.Context, q *notificationdb.Queries, target notificationdb.ReportTargetRow, report Report) (result, error) {
	part, ok := report.For(target.Email)
	if !ok || part.Action != ActionFailed && part.Action != ActionDelayed {
		return resultIgnored, nil
	}
	now := r.Now()
	kind := notifyapi.ReportDelayed
	if part.Action == ActionFailed {
		kind = notifyapi.ReportFailed
	}
	if err := r.record(ctx, q, target.ID, kind, part, now); err != nil {
		return resultNone, err
	}
	if kind == notifyapi.ReportDelayed {
		return resultRecorded, nil
	}
	if _, err := q.ReportBounce(ctx, notificationdb.ReportBounceParams{ID: target.ID, LastError: part.words(), Now: now}); err != nil {
		return resultNone, fmt.Errorf("mark the recipient as bounced: %w", err)
	}
	if part.IsPermanent() {
		return resultBounced, r.suppress(ctx, q, target.Email, notifyapi.SourceBounce, part.words(), now)
	}
	return resultBounced, nil
}

// unwanted are the types of feedback by which a recipient says that mails are not
// wanted (RFC 5965, section 7.3, and the type opt-out of some providers).
var unwanted = []string{"abuse", "fraud", "opt-out", "opt-out-list"}

// complaint suppresses the address of a recipient who does not want the mails.
func (r *DeliveryReports) complaint(ctx context.Context, q *notificationdb.Queries, target notificationdb.ReportTargetRow, report Report) (result, error) {
	if !slices.Contains(unwanted, report.Feedback) {
		return resultIgnored, nil
	}
	now := r.Now()
	if err := r.record(ctx, q, target.ID, notifyapi.ReportComplaint, ReportedRecipient{Text: report.Feedback}, now); err != nil {
		return resultNone, err
	}
	return resultComplaint, r.suppress(ctx, q, target.Email, notifyapi.SourceComplaint, report.Feedback, now)
}

func (r *DeliveryReports) record(ctx context.Context, q *notificationdb.Queries, recipient uuid.UUID, kind notifyapi.ReportKind, part ReportedRecipient, now time.Time) error {
	p := notificationdb.ReportInsertParams{
		ID: uuid.Must(uuid.NewV7()), RecipientID: recipient, Kind: kind, ReceivedAt: now,
		Status: textOrNil(part.Status), Server: textOrNil(part.Server), Text: part.Text, Most: maxReports,
	}
	if part.Code != 0 {
		code := int16(part.Code)
		p.Code = &code
	}
	if _, err := q.ReportInsert(ctx, p); err != nil {
		return fmt.Errorf("record a report: %w", err)
	}
	return nil
}

func (r *DeliveryReports) suppress(ctx context.Context, q *notificationdb.Queries, recipient string, source notifyapi.SuppressionSource, reason string, now time.Time) error {
	added, err := suppression.Add(ctx, q, suppression.Suppression{
		ID: uuid.Must(uuid.NewV7()), Email: recipient, Source: source, Reason: reason, CreatedAt: now,
	})
	if added {
		r.Logger.InfoContext(ctx, "address suppressed", "source", source, "addresses", 1)
	}
	return err
}

// words are the codes and the server's text, without repeating a code that the text
// has.
func (r ReportedRecipient) words() string {
	var words []string
	if code := strconv.Itoa(r.Code); r.Code != 0 && !strings.Contains(r.Text, code) {
		words = append(words, code)
	}
	if r.Status != "" && !strings.Contains(r.Text, r.Status) {
		words = append(words, r.Status)
	}
	if r.Text != "" {
		words = append(words, r.Text)
	}
	if len(words) == 0 {
		return "the mail came back without a reason"
	}
	return strings.Join(words, " ")
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
