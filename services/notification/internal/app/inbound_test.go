package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// inboundConfig is a service that takes mail for desk.test.
func inboundConfig(t testing.TB, i *issuer) app.Config {
	t.Helper()
	c := testConfig(newDatabase(t), i.url, "127.0.0.1:1")
	c.Inbound = app.Inbound{
		Addr: "127.0.0.1:0", Domains: []string{"desk.test"}, MaxSize: 10 << 20, Connections: 50, ClientConnections: 50,
		MailsPerMinute: 1_000_000, IdleTimeout: time.Minute, AuthservID: "mx.desk.test",
	}
	return c
}

// plainMail is a mail with an id.
func plainMail(id, subject, text string) []byte {
	return []byte("From: Ada <ada@example.com>\r\nTo: support@desk.test\r\nSubject: " + subject + "\r\nMessage-ID: <" + id + ">\r\n\r\n" + text + "\r\n")
}

func handIn(t testing.TB, addr string, raw []byte, to ...string) {
	t.Helper()
	if err := smtp.SendMail(addr, nil, "ada@example.com", to, raw); err != nil {
		t.Fatal(err)
	}
}

// pending waits for the n-th pending mail.
func (s *service) pending(t testing.TB, n int) []notifyapi.InboundMail {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundPending, Wait: time.Second, Limit: 100})
		if err == nil && len(page.Items) >= n {
			return page.Items
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d mails are pending, want %d (%v)", len(page.Items), n, err)
		}
	}
}

func TestMailThatComesInWaitsUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	raw := []byte(strings.ReplaceAll(`Authentication-Results: mx.desk.test; dmarc=pass
From: Ada <ada@example.com>
To: support+42.abc@desk.test
Subject: Re: Printer
Message-ID: <first@example.com>
In-Reply-To: <ours@desk.test>
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: text/plain; charset=utf-8

Grüße
--m
Content-Type: image/png; name="a b.png"
Content-Disposition: attachment
Content-Transfer-Encoding: base64

aGVsbG8=
--m--
`, "\n", "\r\n"))
	handIn(t, s.inbound(t), raw, "support+42.abc@desk.test", "Other@DESK.test")
	m := s.pending(t, 1)[0]
	if m.From.Email != "ada@example.com" || m.Text != "Grüße" || m.MessageID != "first@example.com" || m.InReplyTo[0] != "ours@desk.test" ||
		m.Envelope.From != "ada@example.com" || fmt.Sprint(m.Envelope.To) != "[support+42.abc@desk.test Other@DESK.test]" ||
		m.Authentication == nil || m.Authentication.DMARC != "pass" || m.Automatic != nil || m.Source != notifyapi.InboundSMTP {
		t.Errorf("%+v", m)
	}
	if a := m.Attachments; len(a) != 1 || a[0].Filename != "a b.png" || a[0].Size != 5 {
		t.Fatalf("attachments %+v", m.Attachments)
	}
	if got := s.bytesOf(t, func(ctx context.Context) (io.ReadCloser, error) { return s.InboundRaw(ctx, m.ID) }); !bytes.Equal(got, raw) {
		t.Errorf("raw is %q", got)
	}
	if got := s.bytesOf(t, func(ctx context.Context) (io.ReadCloser, error) { return s.InboundAttachment(ctx, m.ID, 0) }); string(got) != "hello" {
		t.Errorf("the attachment is %q", got)
	}
	if _, err := s.InboundAttachment(t.Context(), m.ID, 1); answerStatus(err) != 404 {
		t.Errorf("an attachment that is not there: %v", err)
	}
	for range 2 { // it may be repeated
		acked, err := s.InboundAck(t.Context(), m.ID, "comment", "c1")
		if err != nil || acked.Status != notifyapi.InboundAcknowledged || *acked.Result != "comment" || *acked.Reference != "c1" {
			t.Fatalf("%v %+v", err, acked)
		}
	}
	if _, err := s.InboundAck(t.Context(), m.ID, "ticket", ""); answerStatus(err) != 409 {
		t.Errorf("another result: %v", err)
	}
	page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundPending})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("%v, still pending %d", err, len(page.Items))
	}
}

func TestDeletedMailIsGoneWithItsBytesAndOnlyOnceItIsDone(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c := inboundConfig(t, i)
	s := start(t, i, c)
	for _, id := range []string{"first@example.com", "second@example.com"} {
		handIn(t, s.inbound(t), plainMail(id, "x", "y"), "support@desk.test")
	}
	mails := s.pending(t, 2)
	first, second := mails[0].ID, mails[1].ID
	if err := s.InboundDelete(t.Context(), first); answerStatus(err) != 409 {
		t.Errorf("a pending mail: %v", err)
	}
	if _, err := s.InboundAck(t.Context(), first, "ticket", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.InboundDelete(t.Context(), first); err != nil {
		t.Errorf("an acknowledged mail: %v", err)
	}
	if _, err := s.InboundGet(t.Context(), first); answerStatus(err) != 404 {
		t.Errorf("the deleted mail: %v", err)
	}
	if err := s.InboundDelete(t.Context(), first); answerStatus(err) != 404 {
		t.Errorf("again: %v", err)
	}
	if left := query(t, c.DatabaseURL.Reveal(), "select mail_id::text from inbound_raw"); len(left) != 1 || left[0] != second.String() { // the control: another mail's are there
		t.Errorf("the bytes of %v are left", left)
	}
}

func TestOneMailHasItsEffectOnceHoweverOftenItArrives(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	for n := range 3 {
		handIn(t, s.inbound(t), append([]byte(fmt.Sprintf("Received: by relay%d\r\n", n)), plainMail("same@example.com", "x", "y")...), "support@desk.test")
	}
	handIn(t, s.inbound(t), plainMail("other@example.com", "x", "y"), "support@desk.test")
	mails := s.pending(t, 2)
	if len(mails) != 2 || mails[0].Arrivals != 3 || mails[1].Arrivals != 1 {
		t.Errorf("%d mails, %+v", len(mails), mails)
	}
}

func TestOnlyMailForTheDomainsIsTaken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	for _, to := range []string{"a@example.com", "a@sub.desk.test", "a%example.com@other.test", "a@desk.test.example.com", "postmaster", "a@"} {
		client := dial(t, s.inbound(t))
		if err := client.Mail("ada@example.com"); err != nil {
			t.Fatal(err)
		}
		if err := client.Rcpt(to); err == nil || !strings.HasPrefix(err.Error(), "5") {
			t.Errorf("%s: %v", to, err)
		}
	}
	client := dial(t, s.inbound(t))
	if err := errors.Join(client.Mail("ada@example.com"), client.Rcpt("anything@desk.test")); err != nil {
		t.Errorf("the control is refused: %v", err)
	}
}

func TestALargeMailIsStoredInPiecesAndATooLargeOneIsRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	line := strings.Repeat("0123456789", 10) + "\r\n"
	raw := plainMail("large@example.com", "large", strings.Repeat(line, 30_000))
	handIn(t, s.inbound(t), raw, "support@desk.test")
	handIn(t, s.inbound(t), raw, "support@desk.test")
	m := s.pending(t, 1)[0]
	got := s.bytesOf(t, func(ctx context.Context) (io.ReadCloser, error) { return s.InboundRaw(ctx, m.ID) })
	if !bytes.Equal(got, raw) || m.Size != int64(len(raw)) || !m.Truncated || m.Arrivals != 2 {
		t.Errorf("%d bytes, want %d; %d %v %d", len(got), len(raw), m.Size, m.Truncated, m.Arrivals)
	}
	err := smtp.SendMail(s.inbound(t), nil, "ada@example.com", []string{"support@desk.test"}, plainMail("huge@example.com", "x", strings.Repeat(line, 110_000)))
	if err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("a mail of 11 MB: %v", err)
	}
	err = smtp.SendMail(s.inbound(t), nil, "ada@example.com", []string{"support@desk.test"}, append([]byte("X-A: "+strings.Repeat("a", 300<<10)+"\r\n"), raw...))
	if err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("a header of 300 KiB: %v", err)
	}
}

func TestAWaitingListIsAnsweredWhenAMailComesIn(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	type answer struct {
		page notifyapi.Page[notifyapi.InboundMail]
		err  error
	}
	answered := make(chan answer, 1)
	began := time.Now()
	go func() {
		page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundPending, Wait: notifyapi.MaxInboundWait})
		answered <- answer{page, err}
	}()
	handIn(t, s.inbound(t), plainMail("a@example.com", "x", "y"), "support@desk.test")
	if a := <-answered; a.err != nil || len(a.page.Items) != 1 && time.Since(began) < notifyapi.MaxInboundWait {
		t.Errorf("%v, %d mails after %s", a.err, len(a.page.Items), time.Since(began))
	}
}

func TestTheStopEndsAWaitingListAndIdleConversations(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	client := dial(t, s.inbound(t))
	if err := client.Mail("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := s.Inbound(t.Context(), notifyapi.InboundParams{Wait: notifyapi.MaxInboundWait})
		answered <- err
	}()
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if err := <-answered; err != nil {
		t.Logf("the list came too late: %v", err)
	}
	if err := client.Rcpt("a@desk.test"); err == nil {
		t.Error("the conversation goes on after the stop")
	}
}

func (s *service) bytesOf(t testing.TB, open func(context.Context) (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func answerStatus(err error) int {
	var answer *notifyapi.Error
	if errors.As(err, &answer) {
		return answer.Status
	}
	return 0
}

func dial(t testing.TB, addr string) *smtp.Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, waitLimit)
	if err != nil {
		t.Fatal(err)
	}
	client, err := smtp.NewClient(conn, "desk.test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Hello("client.example"); err != nil {
		t.Fatal(err)
	}
	return client
}
