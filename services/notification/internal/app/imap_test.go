package app_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"fixdesk/pkg/config"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// imapMailbox is an IMAP server with the folder "Help desk".
type imapMailbox struct {
	user *imapmemserver.User
	addr string

	mu   sync.Mutex
	hook func(imapEvent) error // may be nil
}

// imapEvent is a step of the server.
type imapEvent struct {
	step string // search, fetch, store, stored (before its answer), idle
	uids []imap.UID
	mark func(imap.Flag) // sets a flag of the mails of a fetch
}

// observe has the server call hook at each step. The step waits for it, and fails if it
// does.
func (m *imapMailbox) observe(hook func(imapEvent) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

func (m *imapMailbox) at(e imapEvent) error {
	m.mu.Lock()
	hook := m.hook
	m.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(e)
}

// observedSession passes the steps of a session on.
type observedSession struct {
	imapserver.Session
	mailbox *imapMailbox
}

func (s observedSession) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, options *imap.SearchOptions) (*imap.SearchData, error) {
	if err := s.mailbox.at(imapEvent{step: "search"}); err != nil {
		return nil, err
	}
	return s.Session.Search(kind, criteria, options)
}

func (s observedSession) Fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions) error {
	uids, _ := set.(imap.UIDSet).Nums()
	if err := s.mailbox.at(imapEvent{step: "fetch", uids: uids, mark: func(flag imap.Flag) {
		_ = s.Session.Store(w, set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}, nil)
	}}); err != nil {
		return err
	}
	return s.Session.Fetch(w, set, options)
}

func (s observedSession) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, options *imap.StoreOptions) error {
	uids, _ := set.(imap.UIDSet).Nums()
	if err := s.mailbox.at(imapEvent{step: "store", uids: uids}); err != nil {
		return err
	}
	if err := s.Session.Store(w, set, flags, options); err != nil {
		return err
	}
	return s.mailbox.at(imapEvent{step: "stored", uids: uids})
}

// Idle polls, since the library's does not pass on what changed just before it.
func (s observedSession) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	if err := s.mailbox.at(imapEvent{step: "idle"}); err != nil {
		return err
	}
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Millisecond):
			if err := s.Session.Poll(w, true); err != nil {
				return err
			}
		}
	}
}

const folder = "Help desk"

func startIMAP(t testing.TB) *imapMailbox {
	t.Helper()
	m := &imapMailbox{user: imapmemserver.NewUser("desk", "secret word")}
	if err := m.user.Create(folder, nil); err != nil {
		t.Fatal(err)
	}
	mem := imapmemserver.New()
	mem.AddUser(m.user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return observedSession{mem.NewSession(), m}, nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIdle: {}}, InsecureAuth: true, Logger: quiet{},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = listener.Addr().String()
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		served.Wait()
	})
	return m
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (m *imapMailbox) url() config.Secret {
	return config.NewSecret("imap://desk:secret%20word@" + m.addr + "/Help%20desk?tls=none")
}

type literal struct {
	*strings.Reader
}

func (l literal) Size() int64 { return int64(l.Len()) }

func (m *imapMailbox) add(t testing.TB, raw []byte, flags ...imap.Flag) {
	t.Helper()
	if _, err := m.user.Append(folder, literal{strings.NewReader(string(raw))}, &imap.AppendOptions{Flags: flags, Time: time.Now()}); err != nil {
		t.Error(err)
	}
}

// unseen is how many mails of the folder are not marked as seen.
func (m *imapMailbox) unseen(t testing.TB) uint32 {
	t.Helper()
	status, err := m.user.Status(folder, &imap.StatusOptions{NumUnseen: true})
	if err != nil {
		t.Fatal(err)
	}
	return *status.NumUnseen
}

// rebuild makes the folder anew, with another UIDVALIDITY.
func (m *imapMailbox) rebuild(t testing.TB) {
	t.Helper()
	if err := m.user.Delete(folder); err != nil {
		t.Fatal(err)
	}
	if err := m.user.Create(folder, nil); err != nil {
		t.Fatal(err)
	}
}

func imapConfig(t testing.TB, i *issuer, m *imapMailbox) app.Config {
	c := inboundConfig(t, i)
	c.Inbound.Addr, c.IMAPURL = "", m.url()
	return c
}

func TestMailboxIsReadAsMailArrivesAndItsMailsAreMarkedAsSeen(t *testing.T) {
	t.Parallel()
	m, i := startIMAP(t), newIssuer(t)
	m.add(t, plainMail("old-seen@x", "x", "seen before"), imap.FlagSeen)
	m.add(t, []byte("Return-Path: <bounce@example.com>\r\nDelivered-To: support+42@desk.test\r\n"+string(plainMail("old-unseen@x", "x", "y"))))
	s := start(t, i, imapConfig(t, i, m))
	first := s.pending(t, 1)[0]
	if first.MessageID != "old-unseen@x" || first.Source != notifyapi.InboundIMAP || first.Envelope.From != "bounce@example.com" ||
		fmt.Sprint(first.Envelope.To) != "[support+42@desk.test]" {
		t.Errorf("%+v", first)
	}
	m.add(t, plainMail("new@x", "x", "y"))
	m.add(t, plainMail("new-seen@x", "x", "y"), imap.FlagSeen) // somebody read it first
	mails := s.pending(t, 3)
	if len(mails) != 3 || mails[1].MessageID != "new@x" || mails[2].MessageID != "new-seen@x" || mails[1].Envelope.To[0] != "support@desk.test" {
		t.Errorf("%+v", mails)
	}
	eventually(t, "all mails are marked as seen", func() bool { return m.unseen(t) == 0 })
}

func TestMailboxThatIsMadeAnewDoublesAndLosesNothing(t *testing.T) {
	t.Parallel()
	m, i := startIMAP(t), newIssuer(t)
	c := imapConfig(t, i, m)
	s := start(t, i, c)
	m.add(t, plainMail("one@x", "x", "y"))
	s.pending(t, 1)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	m.rebuild(t)
	m.add(t, append([]byte("X-Restored: yes\r\n"), plainMail("one@x", "x", "y")...), imap.FlagSeen)
	m.add(t, plainMail("two@x", "x", "y"), imap.FlagSeen) // came and was read while the service was away
	m.add(t, plainMail("three@x", "x", "y"))
	s = start(t, i, c)
	mails := s.pending(t, 3)
	eventually(t, "the known mail has arrived again", func() bool {
		got, err := s.InboundGet(t.Context(), mails[0].ID)
		return err == nil && got.Arrivals == 2
	})
	if len(s.pending(t, 3)) != 3 {
		t.Error("a mail is doubled")
	}
}

func TestIMAPLoginThatFailsIsLoggedWithoutThePassword(t *testing.T) {
	t.Parallel()
	m, i := startIMAP(t), newIssuer(t)
	c := imapConfig(t, i, m)
	c.IMAPURL = config.NewSecret("imap://desk:canaryword@" + m.addr + "?tls=none")
	s := start(t, i, c)
	eventually(t, "the failure is logged", func() bool { return strings.Contains(s.log.String(), "log in to the IMAP server") })
	if strings.Contains(s.log.String(), "canaryword") {
		t.Error("the password is in the log")
	}
}
