package inbound

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"

	"fixdesk/pkg/notifyapi"
)

// message joins lines with the line ends of mail.
func message(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n") }

func files(c notifyapi.InboundContent) string {
	var list []string
	for _, a := range c.Attachments {
		text := fmt.Sprintf("%s %s %d", a.Filename, a.MediaType, a.Size)
		if a.Inline {
			text += " inline " + a.ContentID
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func TestParseTakesTextHTMLAndFilesOutOfEveryShape(t *testing.T) {
	t.Parallel()
	cyrillic, _ := charmap.KOI8R.NewEncoder().String("Принтер дымит")
	jis, _ := japanese.ISO2022JP.NewEncoder().String("プリンタから煙が出ています")
	for _, tt := range []struct {
		name             string
		raw              []byte
		text, html, file string
	}{
		{
			name: "plain without MIME",
			raw:  message("From: a@example.com", "Subject: x", "", "Hello", "there"),
			text: "Hello\nthere\n",
		}, {
			name: "no empty line after the header",
			raw:  message("From: a@example.com", "Subject: x"),
		}, {
			name: "Gmail: alternative within mixed",
			raw: message("Content-Type: multipart/mixed; boundary=\"m\"", "", "--m", "Content-Type: multipart/alternative; boundary=\"a\"", "",
				"--a", "Content-Type: text/plain; charset=\"UTF-8\"", "Content-Transfer-Encoding: quoted-printable", "", "Gr=C3=BC=C3=9Fe=", "!", "--a",
				"Content-Type: text/html; charset=\"UTF-8\"", "", "<p>Grüße!</p>", "--a--", "--m",
				"Content-Type: image/png; name=\"stripes.png\"", "Content-Disposition: attachment; filename=\"stripes.png\"",
				"Content-Transfer-Encoding: base64", "", "aGVs", "bG8=", "--m--"),
			text: "Grüße!", html: "<p>Grüße!</p>", file: "stripes.png image/png 5",
		}, {
			name: "Outlook: related with a picture in the text",
			raw: message("Content-Type: multipart/related; boundary=r; type=\"multipart/alternative\"", "", "--r",
				"Content-Type: multipart/alternative; boundary=a", "", "--a", "Content-Type: text/plain; charset=iso-8859-1", "",
				"Caf\xe9", "--a", "Content-Type: text/html; charset=iso-8859-1", "", "<p>Caf\xe9 <img src=\"cid:image001.png@01D\"></p>", "--a--", "--r",
				"Content-Type: image/png; name=image001.png", "Content-ID: <image001.png@01D>", "Content-Transfer-Encoding: base64", "", "aGVsbG8=", "--r--"),
			text: "Café", html: `<p>Café <img src="cid:image001.png@01D"></p>`, file: "image001.png image/png 5 inline image001.png@01D",
		}, {
			name: "Apple Mail: text, a file, more text",
			raw: message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain; charset=us-ascii", "", "Before", "--m",
				"Content-Type: application/pdf; name=a.pdf", "Content-Disposition: inline; filename=a.pdf", "", "%PDF", "--m",
				"Content-Type: text/plain", "", "After", "--m--"),
			text: "Before\nAfter", file: "a.pdf application/pdf 4 inline ",
		}, {
			name: "HTML with the plain footer of a list keeps both in the HTML",
			raw: message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/html", "", "<p>Hello</p>", "--m",
				"Content-Type: text/plain", "", "You <are> subscribed", "--m--"),
			html: "<p>Hello</p>\n<pre>You &lt;are&gt; subscribed</pre>",
		}, {
			name: "text file attached as text",
			raw: message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain", "", "See the log", "--m",
				"Content-Type: text/plain; charset=utf-16; name=\"a.log\"", "Content-Disposition: attachment; filename=\"a.log\"", "", "\xff\xfea\x00", "--m--"),
			text: "See the log", file: "a.log text/plain 4",
		}, {
			name: "forwarded as a message",
			raw: message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain", "", "FYI", "--m",
				"Content-Type: message/rfc822", "", "From: b@example.com", "Subject: inner", "", "Inner text", "--m--"),
			text: "FYI", file: " message/rfc822 49",
		}, {
			name: "Russian in KOI8-R",
			raw:  message("Content-Type: text/plain; charset=koi8-r", "Content-Transfer-Encoding: 8bit", "", cyrillic),
			text: "Принтер дымит\n",
		}, {
			name: "Japanese in ISO-2022-JP",
			raw:  message("Content-Type: text/plain; charset=iso-2022-jp", "", jis),
			text: "プリンタから煙が出ています\n",
		}, {
			name: "no character set, Windows-1252",
			raw:  message("Subject: x", "", "na\xefve \x93quoted\x94"),
			text: "naïve “quoted”\n",
		}, {
			name: "unknown character set",
			raw:  message("Content-Type: text/plain; charset=x-no-such", "", "Grüße"),
			text: "Grüße\n",
		}, {
			name: "HTML that names its character set",
			raw:  message("Content-Type: text/html", "", "<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2</p>"),
			html: "<meta charset=windows-1251><p>Привет</p>\n",
		}, {
			name: "boundary that is never closed",
			raw:  message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain", "", "Cut off"),
			text: "Cut off\n",
		}, {
			name: "multipart without a boundary",
			raw:  message("Content-Type: multipart/mixed", "", "Just text"),
			text: "Just text\n",
		}, {
			name: "multipart with another boundary",
			raw:  message("Content-Type: multipart/mixed; boundary=a", "", "--b", "", "Just text"),
			text: "--b\n\nJust text\n",
		}, {
			name: "lines that flow",
			raw:  message("Content-Type: text/plain; format=Flowed", "", "One ", "line", " > stuffed", "> quo ", "> ted", ">> twice ", "> once", "-- ", "Ada"),
			text: "One line\n> stuffed\n> quo ted\n>> twice \n> once\n-- \nAda\n",
		}, {
			name: "lines that do not flow",
			raw:  message("Content-Type: text/plain; format=fixed", "", "One ", " line"),
			text: "One \n line\n",
		}, {
			name: "broken header lines and a type that is none",
			raw:  message("From a@example.com Mon Jan 12", "Subject: x", "no colon here", ": no name", "Content-Type: text/plain; charset", "", "Still here"),
			text: "Still here\n",
		}, {
			name: "base64 with rubbish and missing padding",
			raw:  message("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: BASE64", "", "!!R3LD", "vMOf*ZQ"),
			text: "Grüße",
		}, {
			name: "NUL in the text",
			raw:  []byte("Subject: a\x00b\r\n\r\nc\x00d\r\n"),
			text: "c\uFFFDd\n",
		}, {
			name: "file names of RFC 2231 in another character set, in pieces",
			raw: message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: application/pdf",
				"Content-Disposition: attachment; filename*0*=iso-8859-1''Fran%E7; filename*1*=ois.pdf", "", "x", "--m",
				"Content-Type: application/pdf; name=\"=?utf-8?B?0KHRh9GR0YIucGRm?=\"", "Content-Disposition: attachment", "", "x", "--m",
				"Content-Type: application/pdf", "Content-Disposition: attachment; filename=\"..\\\\..\\\\C:\\\\evil/../a.pdf\"", "", "x", "--m--"),
			file: "François.pdf application/pdf 1; Счёт.pdf application/pdf 1; a.pdf application/pdf 1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Rules{}.Parse(tt.raw, "a@example.com")
			if c.Unparsed != nil {
				t.Fatalf("not taken apart: %s", *c.Unparsed)
			}
			if c.Text != tt.text || c.HTML != tt.html || files(c) != tt.file {
				t.Errorf("text %q, want %q\nhtml %q, want %q\nfiles %q, want %q", c.Text, tt.text, c.HTML, tt.html, files(c), tt.file)
			}
		})
	}
}

func TestParseReadsTheHeader(t *testing.T) {
	t.Parallel()
	c := Rules{AuthservID: "mx.example.net"}.Parse(message(
		"Authentication-Results: mx.example.net; dmarc=fail header.from=example.com; spf=pass smtp.mailfrom=example.com;",
		" dkim=fail header.d=x.example; dkim=pass header.d=example.com",
		"Authentication-Results: mx.example.net; dmarc=pass header.from=example.com",
		`From: =?utf-8?B?w4FkYSBNb3I=?= =?utf-8?B?w6lubyDQ?= =?utf-8?B?og==?= <ada@example.com>`,
		`To: Support <support+42.abc@fixdesk.example>, "Doe, John" <john@example.com>;  broken@@example.com, last@example.com`,
		"Cc: undisclosed-recipients:;",
		"Reply-To: ada@home.example",
		"Subject: =?iso-8859-1?Q?Dr=FCcker_raucht?=\t=?utf-8?q?_sehr?=  ",
		"Date: Mon, 12 Jan 2026 11:04:22 +0100 (CET)",
		"Message-ID: <CAF1x@mail.example.com>",
		"In-Reply-To: <one@x> <two@x>",
		"References: <zero@x>", " <one@x>",
		"Auto-Submitted: Auto-Replied (rejected); owner=x",
		"Precedence: BULK", "List-Id: News <news.example.com>",
		"", "x"), "ada@example.com")
	if c.From == nil || c.From.Name != "Áda Moréno Т" || c.From.Email != "ada@example.com" {
		t.Errorf("from %+v", c.From)
	}
	var to []string
	for _, a := range c.To {
		to = append(to, a.Name+"|"+a.Email)
	}
	if got := strings.Join(to, " "); got != "Support|support+42.abc@fixdesk.example Doe, John|john@example.com |last@example.com" {
		t.Errorf("to %q", got)
	}
	if len(c.CC) != 0 || c.ReplyTo[0].Email != "ada@home.example" || c.Subject != "Drücker raucht sehr" {
		t.Errorf("cc %v, reply to %v, subject %q", c.CC, c.ReplyTo, c.Subject)
	}
	if c.Date == nil || c.Date.Format("15:04:05Z07:00") != "10:04:22Z" || c.MessageID != "CAF1x@mail.example.com" {
		t.Errorf("date %v, id %q", c.Date, c.MessageID)
	}
	if fmt.Sprint(c.InReplyTo, c.References) != "[one@x two@x] [zero@x one@x]" {
		t.Errorf("in reply to %v, references %v", c.InReplyTo, c.References)
	}
	if *c.AutoSubmitted != "auto-replied" || *c.Precedence != "bulk" || *c.ListID != "news <news.example.com>" {
		t.Errorf("%q %q %q", *c.AutoSubmitted, *c.Precedence, *c.ListID)
	}
	if a := c.Authentication; a == nil || a.DMARC != "fail" || a.SPF != "pass" || a.DKIM != "pass" {
		t.Errorf("authentication %+v", a)
	}
}

func TestAuthenticationResultsOfOthersAreNotRead(t *testing.T) {
	t.Parallel()
	raw := message("Authentication-Results: evil.example; dmarc=pass", "Authentication-Results: mx.example.net; dmarc=pass", "", "x")
	for _, server := range []string{"", "mx.example.net"} {
		if c := (Rules{AuthservID: server}).Parse(raw, "a@example.com"); c.Authentication != nil {
			t.Errorf("%q: %+v", server, c.Authentication)
		}
	}
	if c := (Rules{AuthservID: "evil.example"}).Parse(raw, "a@example.com"); c.Authentication == nil || c.Authentication.DMARC != "pass" {
		t.Errorf("the control is not read: %+v", c.Authentication)
	}
}

func TestAutomaticMailIsRecognised(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header, from string
		want         notifyapi.Automatic
	}{
		{"Subject: Printer", "a@example.com", ""},
		{"Auto-Submitted: no", "a@example.com", ""},
		{"X-Auto-Response-Suppress: DR, OOF, AutoReply", "a@example.com", ""}, // people's mails through Exchange
		{"X-Auto-Response-Suppress: All", "a@example.com", ""},
		{"X-MS-Exchange-Inbox-Rules-Loop: a@example.com", "a@example.com", notifyapi.AutomaticHeader},
		{"Content-Type: multipart/report; report-type=delivery-status; boundary=x", "", notifyapi.AutomaticReport},
		{"Subject: Printer", "", notifyapi.AutomaticEmptySender},
		{"Auto-Submitted: auto-generated", "a@example.com", notifyapi.AutomaticAutoSubmitted},
		{"List-Id: <a.example.com>", "a@example.com", notifyapi.AutomaticList},
		{"Precedence: junk", "a@example.com", notifyapi.AutomaticPrecedence},
		{"X-Autoreply: yes", "a@example.com", notifyapi.AutomaticHeader},
		{"From: MAILER-DAEMON@example.com", "a@example.com", notifyapi.AutomaticSender},
		{"From: no-reply+x@example.com", "a@example.com", notifyapi.AutomaticSender},
		{"From: noreplyson@example.com", "a@example.com", ""},
		{"Subject: =?utf-8?Q?R=C3=A9ponse_automatique?= : absent", "a@example.com", notifyapi.AutomaticSubject},
		{"Subject: Re: Out of office", "a@example.com", ""},
	} {
		c := Rules{}.Parse(message(tt.header, "", "x"), tt.from)
		got := notifyapi.Automatic("")
		if c.Automatic != nil {
			got = *c.Automatic
		}
		if got != tt.want {
			t.Errorf("%s from %q is %q, want %q", tt.header, tt.from, got, tt.want)
		}
	}
}

func TestSenderWhoWantsNoAutomaticAnswerIsRecognised(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"X-Auto-Response-Suppress: All":                                 true,
		"X-Auto-Response-Suppress: DR, RN, NRN, OOF":                    true,
		"X-Auto-Response-Suppress: DR,autoreply":                        true,
		"X-Auto-Response-Suppress: DR, RN, NRN":                         false, // reports and receipts alone
		"X-Auto-Response-Suppress: None":                                false,
		"X-Auto-Response-Suppress:":                                     false,
		"Subject: X-Auto-Response-Suppress: All":                        false,
		"X-Auto-Response-Suppress: DR\r\nx-auto-response-suppress: oof": true,
	} {
		c := Rules{}.Parse(message(header, "", "x"), "a@example.com")
		if c.NoAutoReply != want || c.Automatic != nil {
			t.Errorf("%q: %v, automatic %v, want %v", header, c.NoAutoReply, c.Automatic, want)
		}
	}
}

func TestBombsAreNotTakenApart(t *testing.T) {
	t.Parallel()
	nested := &bytes.Buffer{}
	for i := range 10_000 {
		fmt.Fprintf(nested, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	parts := bytes.NewBufferString("Subject: bomb\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for range 10_000 {
		parts.WriteString("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n")
	}
	for _, tt := range []struct{ name, raw, want string }{
		{"nested", nested.String(), unparsedNested},
		{"10,000 parts", parts.String(), unparsedParts},
		{"header", "Subject: bomb\r\nX-A: " + strings.Repeat("a", 10<<20) + "\r\n\r\n", unparsedHeader},
	} {
		c := Rules{}.Parse([]byte(tt.raw), "a@example.com")
		if c.Unparsed == nil || *c.Unparsed != tt.want {
			t.Errorf("%s: %v", tt.name, c.Unparsed)
		}
		if tt.name == "10,000 parts" && c.Subject != "bomb" {
			t.Errorf("the header is not read: %q", c.Subject)
		}
	}
}

func TestFingerprintIsThatOfTheSameMailOnAnotherWay(t *testing.T) {
	t.Parallel()
	of := func(header string, to ...string) string {
		return string(fingerprint([]byte(header), [32]byte{1}, to, exampleTime))
	}
	first := of("Message-ID: <1@x>\r\nFrom: a@x\r\n\r\n", "s@x", "t@x")
	for _, same := range []string{
		of("Received: by b\r\nMessage-Id:\r\n <1@x>\r\nFrom: a@x\r\nX-Spam: no\r\n\r\n", "T@x", "s@x", "s@x"),
	} {
		if same != first {
			t.Error("the same mail has another fingerprint")
		}
	}
	for _, other := range []string{
		of("Message-ID: <2@x>\r\nFrom: a@x\r\n\r\n", "s@x", "t@x"), of("Message-ID: <1@x>\r\nFrom: b@x\r\n\r\n", "s@x", "t@x"),
		of("Message-ID: <1@x>\r\nFrom: a@x\r\n\r\n", "s@x"),
	} {
		if other == first {
			t.Error("another mail has the same fingerprint")
		}
	}
}

// nested is a mail of multiparts within multiparts, none of which is closed.
func nested(levels int) []byte {
	var mail strings.Builder
	for n := range levels {
		fmt.Fprintf(&mail, "Content-Type: multipart/mixed; boundary=\"part %d\"\n\n--part %[1]d\n", n)
	}
	return []byte(mail.String() + "Content-Type: text/plain\n\ntext\n")
}

// A mail of 20 levels took seconds and one of 30 hours.
func TestMultipartsThatAreNotClosedAreTakenApartToTenLevels(t *testing.T) {
	t.Parallel()
	for levels, want := range map[int]bool{1: true, maxNesting: true, maxNesting + 1: false, 30: false, 100: false} {
		if c := (Rules{}).Parse(nested(levels), ""); (c.Unparsed == nil) != want || want && !strings.Contains(c.Text, "text") {
			t.Errorf("%d levels: %v %q", levels, c.Unparsed, c.Text)
		}
	}
}

// FuzzParse looks for mails that stop the reader, or of which something is stored
// that the database does not take.
func FuzzParse(f *testing.F) {
	mails, err := filepath.Glob("testdata/mails/*.eml")
	if err != nil || len(mails) == 0 {
		f.Fatal(len(mails), err)
	}
	for _, file := range mails {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(message("From: a@example.com", "Content-Type: multipart/mixed; boundary=m", "", "--m", "", "x", "--m--"))
	f.Add(message("Content-Type: application/ms-tnef; name=winmail.dat", "Content-Transfer-Encoding: base64", "", base64.StdEncoding.EncodeToString(winmail())))
	f.Add(message("Subject: =?utf-8?B?w4E=?= =?x?Q?=?=", "To: a <b@c>, ;<", "Content-Disposition: inline; filename*0*=a'b'%zz", "", "=\r\n="))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := Rules{AuthservID: "mx"}.parse(raw, "a@example.com")
		if len(p.files) != len(p.content.Attachments) {
			t.Fatalf("%d files, %d attachments", len(p.files), len(p.content.Attachments))
		}
		for _, text := range []string{p.content.Text, p.content.HTML, p.content.Subject, p.content.MessageID} {
			if clean(text) != text {
				t.Fatalf("%q is not text that the database takes", text)
			}
		}
		for _, a := range p.content.Attachments {
			if clean(a.Filename+a.MediaType+a.ContentID) != a.Filename+a.MediaType+a.ContentID || strings.Contains(a.Filename, "/") {
				t.Fatalf("%+v", a)
			}
		}
	})
}
