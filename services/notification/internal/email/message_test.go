package email

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/uuid"
)

var update = flag.Bool("update", false, "write the golden files anew")

var goldenID = uuid.MustParse("019c2f4e-7a00-7000-8000-0000000004d2")

func goldenMail(change func(*Mail)) Mail {
	m := Mail{
		ID: goldenID, To: "anna@example.org", Subject: "Ticket #42: printer on fire", Text: "Hello Anna,\n\nit burns.\n",
		Domain: "example.com", RequestID: "req-1", Date: time.Date(2026, 2, 5, 9, 8, 7, 0, time.UTC),
	}
	if change != nil {
		change(&m)
	}
	return m
}

var goldenMails = map[string]Mail{
	"plain":  goldenMail(nil),
	"thread": goldenMail(func(m *Mail) { m.Thread = "ticket-42" }),
	"reply":  goldenMail(func(m *Mail) { m.ReplyTo = "support+42.5f3a@example.com" }),
	"unsubscribe": goldenMail(func(m *Mail) {
		m.Unsubscribe = "https://desk.example.com/unsubscribe?token=" + strings.Repeat("AZyr_-", 16)
	}),
	"html": goldenMail(func(m *Mail) { m.HTML = "<p>Hello <b>Anna</b>,</p>\n<p>it burns.</p>\n" }),
	"languages": goldenMail(func(m *Mail) {
		m.Subject = "Ticket №42: プリンターが燃えています – Drucker brennt wie verrückt und hört überhaupt nicht mehr auf 🔥"
		m.Text = "Grüße, Привет, 你好, שלום, مرحبا 🔥\n.\n..leading dots\n" + strings.Repeat("long ", 60) + "\nFrom here\n"
	}),
	"international": goldenMail(func(m *Mail) { m.To = "jürgen@bücher.example" }),
}

func TestMailsEqualTheirGoldenFiles(t *testing.T) {
	sender := Sender{From: mail.Address{Name: "Fixdesk Störungsdienst", Address: "fixdesk@example.com"}}
	for name, m := range goldenMails {
		t.Run(name, func(t *testing.T) {
			got, err := sender.render(m)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestMailIsParsedBackToItsContent(t *testing.T) {
	sender := Sender{From: mail.Address{Address: "fixdesk@example.com"}}
	m := goldenMails["languages"]
	m.HTML = "<p>Grüße &amp; 你好</p>"
	raw, err := sender.render(m)
	if err != nil {
		t.Fatal(err)
	}
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	for _, line := range strings.Split(string(raw), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\n\r") {
			t.Errorf("a line of %d octets, or a bare CR or LF (RFC 5322 section 2.1.1)", len(line))
		}
	}
	_, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(read.Body, params["boundary"])
	for _, want := range []string{m.Text, m.HTML} {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != want {
			t.Errorf("body %q, %v", body, err)
		}
	}
}

func TestRepeatedMailIsByteIdenticalAndMessageIDsAreUnique(t *testing.T) {
	m := goldenMails["html"]
	m.Thread = "ticket-1"
	sender := Sender{From: mail.Address{Address: "fixdesk@example.com"}, DKIM: ed25519DKIM(t)}
	render := func(m Mail) string {
		b, err := sender.render(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if first, second := render(m), render(m); first != second {
		t.Errorf("a repeat differs:\n%s\n%s", first, second)
	}
	other := m
	other.ID = uuid.Must(uuid.NewV7())
	if m.MessageID() == other.MessageID() || m.boundary() == other.boundary() {
		t.Error("two mails share an identity")
	}
	if m.threadRoot() != other.threadRoot() {
		t.Error("mails of one thread to one recipient have different roots")
	}
	other.To = "bert@example.org"
	if m.threadRoot() == other.threadRoot() {
		t.Error("two recipients share a root: who got the mail would show")
	}
}

func TestMessageIDNamesTheThreadAndTheRecipient(t *testing.T) {
	id := uuid.MustParse("019c2f4e-7a00-7000-8000-0000000004d2")
	for thread, want := range map[string]string{
		"":          id.String() + "@example.com",
		"ticket-42": "ticket-42." + id.String() + "@example.com",
		"a b":       id.String() + "@example.com", // can't be part of an address
		"a.b":       id.String() + "@example.com",
	} {
		got := Mail{ID: id, Thread: thread, Domain: "example.com"}.MessageID()
		if recipient, domain, ok := RecipientOf(got); got != want || !ok || recipient != id || domain != "example.com" {
			t.Errorf("%q: %s, read back as %v %s %v", thread, got, recipient, domain, ok)
		}
	}
	for _, other := range []string{"", "x@example.com", id.String(), "ticket-42." + id.String(), id.String() + ".x@example.com", "{" + id.String() + "}@example.com"} {
		if recipient, _, ok := RecipientOf(other); ok {
			t.Errorf("%q is read as the mail to %v", other, recipient)
		}
	}
}

func TestMailHasNothingAboutTheSoftwareThatMadeIt(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := (Sender{From: mail.Address{Address: "fixdesk@example.com"}}).render(goldenMails["html"])
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"go-mail", "User-Agent", "X-Mailer", host} {
		if strings.Contains(string(raw), never) {
			t.Errorf("the mail contains %q", never)
		}
	}
}

func TestControlCharactersCantAddAHeader(t *testing.T) {
	m := goldenMail(func(m *Mail) {
		m.Subject = "Hello\r\nBcc: everyone@example.org\r\n\r\nbody"
		m.RequestID = "req\r\nX-Evil: 1"
		m.Thread = "t\r\nX-Evil: 1"
	})
	raw, err := (Sender{From: mail.Address{Address: "fixdesk@example.com"}}).render(m)
	if err != nil {
		return // a refusal is fine, too
	}
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if read.Header.Get("Bcc") != "" || read.Header.Get("X-Evil") != "" {
		t.Errorf("smuggled:\n%s", raw)
	}
}

func writeKey(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ed25519DKIM(t *testing.T) *DKIM {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := LoadDKIM("example.com", "s1", writeKey(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnotherImplementationVerifiesTheSignature(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		key    any
		record string
	}{
		{"rsa", rsaKey, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic)},
		{"ed25519", edKey, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edPublic)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := LoadDKIM("example.com", "s1", writeKey(t, tc.key))
			if err != nil {
				t.Fatal(err)
			}
			sender := Sender{From: mail.Address{Address: "fixdesk@example.com"}, DKIM: d}
			for name, m := range goldenMails {
				raw, err := sender.render(m)
				if err != nil {
					t.Fatal(err)
				}
				check := func(raw []byte) error {
					verified, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{
						LookupTXT: func(string) ([]string, error) { return []string{tc.record}, nil },
					})
					if err != nil || len(verified) != 1 {
						t.Fatalf("%d signatures, %v", len(verified), err)
					}
					return verified[0].Err
				}
				if err := check(raw); err != nil {
					t.Errorf("%s: %v\n%s", name, err, raw)
				}
				if forged := bytes.Replace(raw, []byte("Subject:"), []byte("Subject: not"), 1); check(forged) == nil {
					t.Errorf("%s: a changed mail passes", name)
				}
				if forged := bytes.Replace(raw, []byte("List-Unsubscribe: <https://desk"), []byte("List-Unsubscribe: <https://eve"), 1); m.Unsubscribe != "" && check(forged) == nil {
					t.Errorf("%s: a changed List-Unsubscribe passes", name)
				}
			}
		})
	}
}

func TestDKIMKeyThatCantSignIsRefusedAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][3]string{{"example.com", "s1", path}, {"example.com", "s1", path + "x"}, {"", "s1", path}, {"example.com", "", path}} {
		if _, err := LoadDKIM(tc[0], tc[1], tc[2]); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("LoadDKIM(%q) = %v", tc, err)
		}
	}
}

// render returns the bytes of the mail as they go over the wire.
func (s Sender) render(m Mail) ([]byte, error) {
	return s.content(m)
}
