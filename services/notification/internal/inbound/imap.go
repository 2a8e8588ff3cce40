package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	// mailboxInterval is how soon another replica goes on when the one that reads ends.
	mailboxInterval = 10 * time.Second
	// loginPause is the pause after a refused login: servers lock accounts that try more
	// often.
	loginPause = time.Minute
	// idleTime is how long one IDLE lasts; what follows it shows a connection that is
	// dead, and a mail that the server did not announce.
	idleTime = time.Minute
	// pollTime is the pause between two looks at a server without IDLE.
	pollTime = 30 * time.Second
	// rebuiltOverlap is how long before the last contact mails of a mailbox that was
	// made anew are read again, read or not. Those that are stored have no effect.
	rebuiltOverlap = 48 * time.Hour
)

// MailboxConfig describes a mailbox that is read by IMAP; all fields but TLS are
// required.
type MailboxConfig struct {
	Service *Service
	Server  IMAPServer
	MaxSize int64
	TLS     *tls.Config
}

// IMAPServer is a mailbox of a server.
type IMAPServer struct {
	Address        string // host:port
	Implicit       bool   // TLS from the first byte
	StartTLS       bool
	User, Password string
	Folder         string
}

// ParseIMAP reads imaps://user:password@host[:port][/folder], or imap://, which uses
// STARTTLS unless ?tls=none. Its errors don't repeat the address.
func ParseIMAP(raw string) (IMAPServer, error) {
	bad := errors.New("want imaps://user:password@host[:port][/folder], or imap://… with STARTTLS, or without TLS by ?tls=none")
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User.Username() == "" || u.Scheme != "imap" && u.Scheme != "imaps" {
		return IMAPServer{}, bad
	}
	tlsMode := u.Query().Get("tls")
	if len(u.Query()) > 1 || len(u.Query()) == 1 && tlsMode != "none" && tlsMode != "required" || u.Scheme == "imaps" && tlsMode == "none" {
		return IMAPServer{}, bad
	}
	s := IMAPServer{
		Address: u.Host, Implicit: u.Scheme == "imaps", StartTLS: u.Scheme == "imap" && tlsMode != "none",
		User: u.User.Username(), Folder: strings.TrimPrefix(u.Path, "/"),
	}
	s.Password, _ = u.User.Password()
	if s.Folder == "" {
		s.Folder = "INBOX"
	}
	if u.Port() == "" && s.Implicit {
		s.Address += ":993"
	} else if u.Port() == "" {
		s.Address += ":143"
	}
	return s, nil
}

// name identifies the mailbox in the database.
func (s IMAPServer) name() string { return clean(s.User + "@" + s.Address + "/" + s.Folder) }

// Mailbox reads a mailbox, on one replica at a time. A mail's position is stored in
// the transaction that stores the mail, and it is marked as seen after that. Make it
// with NewMailbox.
type Mailbox struct {
	MailboxConfig
	loop    *background.Loop
	client  *imapclient.Client // nil when there is no connection
	valid   uint32             // UIDVALIDITY of the selected folder
	next    imap.UID           // UIDNEXT when it was selected
	marked  bool               // what was stored before is marked as seen
	changed chan struct{}      // the folder has more mails
}

// NewMailbox makes a reader; it starts with Run.
func NewMailbox(c MailboxConfig) *Mailbox {
	m := &Mailbox{MailboxConfig: c, changed: make(chan struct{}, 1)}
	m.loop = background.New(background.Config{
		Name: "inbound mailbox", Interval: mailboxInterval, Jitter: time.Second, RunOnce: m.runOnce, Remote: true,
		Exclusive: pg.Exclusive(c.Service.DB), Log: c.Service.Log, Metrics: c.Service.Metrics,
	})
	return m
}

// Run reads the mailbox until ctx ends.
func (m *Mailbox) Run(ctx context.Context) error {
	defer m.disconnect()
	return m.loop.Run(ctx)
}

func (m *Mailbox) disconnect() {
	if m.client != nil {
		_ = m.client.Close()
		m.client = nil
	}
}

// runOnce reads what is new and waits for more.
func (m *Mailbox) runOnce(ctx context.Context) (again bool, err error) {
	defer func() {
		if err != nil {
			m.disconnect()
		}
	}()
	if err := m.connect(); err != nil {
		return false, err
	}
	client := m.client
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	for {
		uids, err := m.unread(ctx)
		if err != nil {
			return false, err
		}
		for _, uid := range uids {
			if err := m.read(ctx, uid); err != nil {
				return false, err
			}
		}
		if len(uids) == 0 {
			return true, m.wait(ctx)
		}
	}
}

// connect opens the folder. Errors have no credentials.
func (m *Mailbox) connect() error {
	if m.client != nil {
		return nil
	}
	options := &imapclient.Options{TLSConfig: m.TLS, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				select {
				case m.changed <- struct{}{}:
				default:
				}
			}
		},
	}}
	dial := imapclient.DialInsecure
	switch {
	case m.Server.Implicit:
		dial = imapclient.DialTLS
	case m.Server.StartTLS:
		dial = imapclient.DialStartTLS
	}
	client, err := dial(m.Server.Address, options)
	if err != nil {
		return fmt.Errorf("connect to the IMAP server: %w", err)
	}
	m.client = client
	if err := client.Login(m.Server.User, m.Server.Password).Wait(); err != nil {
		return background.RetryAfter(fmt.Errorf("log in to the IMAP server: %w", err), loginPause)
	}
	selected, err := client.Select(m.Server.Folder, nil).Wait()
	if err != nil {
		return fmt.Errorf("open the mailbox: %w", err)
	}
	if selected.UIDValidity == 0 || selected.UIDNext == 0 {
		return errors.New("open the mailbox: the server gives no UIDVALIDITY and UIDNEXT")
	}
	m.marked = false
	m.valid, m.next = selected.UIDValidity, selected.UIDNext
	return nil
}

// unread lists the mails that were not read yet, oldest first. A mailbox that is new,
// or was made anew, begins with those that nobody has seen; of one that was made
// anew, also those that came since the last contact.
func (m *Mailbox) unread(ctx context.Context) ([]imap.UID, error) {
	q := notificationdb.New(m.Service.DB)
	row, err := q.MailboxGet(ctx, m.Server.name())
	isNew := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !isNew {
		return nil, fmt.Errorf("find how far the mailbox was read: %w", err)
	}
	if !isNew && uint32(row.UidValidity) == m.valid {
		if err := m.markStored(row.LastUid, row.Backlog); err != nil {
			return nil, err
		}
		set := imap.UIDSet{}
		set.AddRange(imap.UID(row.LastUid+1), 0)
		found, err := m.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}})
		if err != nil {
			return nil, err
		}
		uids := slices.DeleteFunc(found, func(uid imap.UID) bool { return int64(uid) <= row.LastUid }) // * is the last one at least
		for _, uid := range row.Backlog {
			uids = append(uids, imap.UID(uid))
		}
		slices.Sort(uids)
		return uids, nil
	}
	unseen := imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}
	if !isNew {
		unseen = imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{unseen, {Since: row.ReadAt.Add(-rebuiltOverlap)}}}}
	}
	uids, err := m.search(&unseen)
	if err != nil {
		return nil, err
	}
	uids = slices.DeleteFunc(uids, func(uid imap.UID) bool { return uid >= m.next }) // read as new ones
	slices.Sort(uids)
	backlog := make([]int64, len(uids))
	for i, uid := range uids {
		backlog[i] = int64(uid)
	}
	if err := q.MailboxStart(ctx, notificationdb.MailboxStartParams{
		Name: m.Server.name(), UidValidity: int64(m.valid), LastUid: int64(m.next) - 1, Backlog: backlog, Now: m.Service.Now(),
	}); err != nil {
		return nil, fmt.Errorf("begin with a mailbox: %w", err)
	}
	if len(uids) == 0 { // those that came meanwhile
		return m.unread(ctx)
	}
	return uids, nil
}

func (m *Mailbox) search(criteria *imap.SearchCriteria) ([]imap.UID, error) {
	data, err := m.client.UIDSearch(criteria, nil).Wait()
	if err != nil {
		return nil, fmt.Errorf("search the mailbox: %w", err)
	}
	return data.AllUIDs(), nil
}

// read stores one mail and marks it as seen.
func (m *Mailbox) read(ctx context.Context, uid imap.UID) error {
	t, err := m.fetch(ctx, uid)
	if err != nil {
		m.Service.discard(ctx, t)
		return err
	}
	if t.size > m.MaxSize {
		m.Service.metrics.received.WithLabelValues(string(notifyapi.InboundIMAP), resultRefused).Inc()
		m.Service.Log.WarnContext(ctx, "a mail of the mailbox is too large, it stays there, flagged", "uid", uint32(uid))
		m.Service.discard(ctx, t)
		if err := m.mark(imap.FlagFlagged, uid); err != nil {
			return err
		}
		return m.pass(ctx, uid)
	}
	if t.size == 0 { // deleted meanwhile
		return m.pass(ctx, uid)
	}
	a := Arrival{Source: notifyapi.InboundIMAP}
	a.From, a.To = envelopeOf(t.header)
	receipt, marked := Receipt{}, false
	err = pgx.BeginFunc(ctx, m.Service.DB, func(tx pgx.Tx) (err error) {
		q := notificationdb.New(tx)
		if marked, err = m.advance(ctx, q, uid); err != nil || !marked {
			return err
		}
		ids, err := insertAll(ctx, q, t.row(a))
		if err != nil {
			return fmt.Errorf("store a mail: %w", err)
		}
		receipt = Receipt{ID: ids[0], Repeated: ids[0] != t.id}
		return nil
	})
	if err != nil {
		return err
	}
	if receipt.Repeated || !marked {
		m.Service.discard(ctx, t)
	}
	if marked {
		m.Service.stored(a, receipt)
	}
	return m.mark(imap.FlagSeen, uid)
}

// mark sets a flag of mails.
func (m *Mailbox) mark(flag imap.Flag, uids ...imap.UID) error {
	add := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}
	if err := m.client.Store(imap.UIDSetNum(uids...), add, nil).Close(); err != nil {
		return fmt.Errorf("mark a mail: %w", err)
	}
	return nil
}

// markStored marks the mails as seen that were stored before a crash and not marked
// after it.
func (m *Mailbox) markStored(last int64, backlog []int64) error {
	if m.marked || last == 0 {
		return nil
	}
	set := imap.UIDSet{}
	set.AddRange(1, imap.UID(last))
	uids, err := m.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}, NotFlag: []imap.Flag{imap.FlagSeen, imap.FlagFlagged}})
	if err != nil {
		return err
	}
	uids = slices.DeleteFunc(uids, func(uid imap.UID) bool { return int64(uid) > last || slices.Contains(backlog, int64(uid)) })
	if len(uids) > 0 {
		if err := m.mark(imap.FlagSeen, uids...); err != nil {
			return err
		}
	}
	m.marked = true
	return nil
}

// advance marks the mail as read in the database; false when another replica did.
func (m *Mailbox) advance(ctx context.Context, q *notificationdb.Queries, uid imap.UID) (bool, error) {
	_, err := q.MailboxAdvance(ctx, notificationdb.MailboxAdvanceParams{
		Name: m.Server.name(), UidValidity: int64(m.valid), Uid: int64(uid), Now: m.Service.Now(),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mark how far the mailbox was read: %w", err)
	}
	return true, nil
}

// pass goes on to the next mail.
func (m *Mailbox) pass(ctx context.Context, uid imap.UID) error {
	_, err := m.advance(ctx, notificationdb.New(m.Service.DB), uid)
	return err
}

// fetch reads one mail's bytes. The transfer of one that is gone is empty.
func (m *Mailbox) fetch(ctx context.Context, uid imap.UID) (*transfer, error) {
	section := &imap.FetchItemBodySection{Peek: true}
	cmd := m.client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	t := &transfer{}
	var err error
	for message := cmd.Next(); message != nil; message = cmd.Next() {
		for item := message.Next(); item != nil; item = message.Next() {
			body, ok := item.(imapclient.FetchItemDataBodySection)
			if !ok || body.Literal == nil || t.size > 0 || err != nil {
				continue
			}
			whole := &countingReader{Reader: io.LimitReader(body.Literal, m.MaxSize+1)}
			t, err = m.Service.transfer(ctx, whole)
			if want := min(body.Literal.Size(), m.MaxSize+1); err == nil && whole.n != want {
				err = errShort
			}
		}
	}
	if closeErr := cmd.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return t, fmt.Errorf("fetch a mail: %w", err)
	}
	return t, nil
}

type countingReader struct {
	io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

// wait returns when the server says that the folder has more mails, or after a while.
func (m *Mailbox) wait(ctx context.Context) error {
	caps := m.client.Caps()
	if !caps.Has(imap.CapIdle) && !caps.Has(imap.CapIMAP4rev2) {
		m.pause(ctx, pollTime)
		return ctx.Err()
	}
	idle, err := m.client.Idle()
	if err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	m.pause(ctx, idleTime)
	if err := idle.Close(); err != nil {
		return fmt.Errorf("end the wait for mail: %w", err)
	}
	if err := idle.Wait(); err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	return ctx.Err()
}

func (m *Mailbox) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-m.changed:
	case <-timer.C:
	case <-ctx.Done():
	case <-m.client.Closed():
	}
}

// envelopeOf reads the envelope from what the mailbox's server wrote into the header
// at delivery. Without that, the addresses of the header are taken for it.
func envelopeOf(header []byte) (from string, to []string) {
	returnPath := string(field(header, "Return-Path"))
	if list := addressList(returnPath); len(list) > 0 {
		from = list[0].Email
	} else if list := addressList(string(field(header, "From"))); returnPath == "" && len(list) > 0 {
		from = list[0].Email
	}
	for _, name := range []string{"Delivered-To", "X-Original-To", "Envelope-To"} {
		for _, a := range addressList(string(field(header, name))) {
			to = append(to, a.Email)
		}
	}
	if len(to) == 0 {
		for _, name := range []string{"To", "Cc"} {
			for _, a := range addressList(string(field(header, name))) {
				to = append(to, a.Email)
			}
		}
	}
	slices.Sort(to)
	return from, slices.Compact(to)
}
