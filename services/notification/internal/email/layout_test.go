package email

import (
	"bytes"
	"net/mail"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// sharedMails are those of a notification to several addresses.
func sharedMails(m Mail) []Mail {
	var mails []Mail
	for _, to := range []string{"anna@example.org", "b@x.example", "jürgen@bücher.example", "ä@example.org", `"a b"@example.org`, strings.Repeat("long", 15) + "@" + strings.Repeat("very.", 30) + "example.org", "anna@example.org"} {
		m.ID, m.To, m.Shared = uuid.Must(uuid.NewV7()), to, true
		mails = append(mails, m)
	}
	return mails
}

func TestMailFromALayoutIsTheMailThatIsMadeWhole(t *testing.T) {
	sender := Sender{From: mail.Address{Name: "Fixdesk Störungsdienst", Address: "fixdesk@example.com"}}
	mails := map[string]Mail{
		"all at once": goldenMail(func(m *Mail) {
			m.Thread, m.ReplyTo, m.Unsubscribe, m.HTML = "ticket-42", "support@example.com", "https://desk.example.com/u", "<p>.</p>\n.\n"
			m.Text = ".\n..\n" + strings.Repeat("=", 100) + "\r\n.end"
		}),
		"no line end": goldenMail(func(m *Mail) { m.Text = "no line end" }),
		"empty":       goldenMail(func(m *Mail) { m.Text, m.Subject = "", "" }),
	}
	for name, m := range goldenMails {
		mails[name] = m
	}
	for name, m := range mails {
		t.Run(name, func(t *testing.T) {
			pool := &Pool{config: Config{Sender: sender}}
			for i, m := range sharedMails(m) {
				got, err := pool.outgoing(nil, m)
				if err != nil {
					t.Fatal(err)
				}
				whole, err := sender.content(m)
				if err != nil {
					t.Fatal(err)
				}
				if want := dotted(whole); !bytes.Equal(got.content, want) {
					t.Errorf("mail %d:\n%s\nwant\n%s", i, got.content, want)
				}
			}
			if len(pool.layouts.kept) != 1 {
				t.Errorf("%d layouts, want one: the trial compares nothing", len(pool.layouts.kept))
			}
		})
	}
}

func TestControlMailWithoutItsOwnPlacesHasNoLayout(t *testing.T) {
	m := goldenMail(nil)
	whole, err := Sender{From: mail.Address{Address: "fixdesk@example.com"}}.content(m)
	if err != nil {
		t.Fatal(err)
	}
	if newLayout(m, "<"+m.To+">", whole) == nil {
		t.Fatal("the mail has no layout")
	}
	m.ID = uuid.Must(uuid.NewV7()) // as if the content had another mail's Message-ID
	if newLayout(m, "<"+m.To+">", whole) != nil {
		t.Error("a layout does not make the mail that it was made from")
	}
}

func TestLayoutsTakeLittleMemory(t *testing.T) {
	pool := &Pool{config: Config{Sender: Sender{From: mail.Address{Address: "fixdesk@example.com"}}}}
	text := strings.Repeat("x", 16<<10)
	for i := range 500 {
		m := aMail("anna@example.org")
		m.Shared, m.Subject, m.Text = true, strconv.Itoa(i), text
		if _, err := pool.outgoing(nil, m); err != nil {
			t.Fatal(err)
		}
	}
	bytes := 0
	for _, l := range pool.layouts.kept {
		bytes += l.size
	}
	if bytes > maxLayoutBytes || bytes != pool.layouts.bytes || len(pool.layouts.kept) < 50 {
		t.Errorf("%d layouts of %d bytes (counted %d), want at most %d", len(pool.layouts.kept), bytes, pool.layouts.bytes, maxLayoutBytes)
	}
}

func TestDotsAreDoubledAndTheEndIsOneDot(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\n":       "a\r\n.\r\n",
		"":            "\r\n.\r\n",
		".\r\n":       "..\r\n.\r\n",
		"a\r\n.b\r\n": "a\r\n..b\r\n.\r\n",
		"a\nb\r\n":    "a\r\nb\r\n.\r\n",
		"a":           "a\r\n.\r\n",
		"a.\r\n":      "a.\r\n.\r\n",
	} {
		if got := string(dotted([]byte(in))); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
