package email

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
)

var attachedFiles = []Attachment{
	{"screen.png", "image/png", []byte("\x89PNG\r\n\x1a\n and more bytes \x00\xff")},
	{`a "quoted" name; with=signs.txt`, "text/plain", []byte("plain text, sent as it is\n")},
	{"Störung Größe 100%.pdf", "application/pdf", nil},
	{strings.Repeat("プリンターが燃えている", 8) + " 🔥.jpeg", "image/jpeg", bytes.Repeat([]byte{0xff, 0xd8}, 500)},
	{"forwarded.eml", "message/rfc822", []byte("From: a@example.org\r\n\r\nHello")},
}

func TestFilesArriveWithTheirNamesTypesAndBytes(t *testing.T) {
	sender := Sender{From: mail.Address{Address: "fixdesk@example.com"}}
	for name, html := range map[string]string{"text alone": "", "text and HTML": "<p class=\"x\">it burns = now.</p>\n"} {
		t.Run(name, func(t *testing.T) {
			m := goldenMail(func(m *Mail) { m.HTML, m.Attachments = html, attachedFiles })
			raw, err := sender.render(m)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := sender.render(m); err != nil || !bytes.Equal(raw, again) {
				t.Error("a repeat is another message")
			}
			for _, line := range strings.Split(string(raw), "\r\n") {
				if len(line) > 100 || strings.ContainsAny(line, "\n\r") {
					t.Errorf("a line of %d octets, or a bare CR or LF: %q", len(line), line)
				}
			}
			checkParts(t, raw, m)
		})
	}
}

func checkParts(t *testing.T, raw []byte, m Mail) {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	media, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if media != "multipart/mixed" || err != nil {
		t.Fatalf("the mail is %s, %v", media, err)
	}
	parts := multipart.NewReader(read.Body, params["boundary"])
	body, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	media, params, _ = mime.ParseMediaType(body.Header.Get("Content-Type"))
	if m.HTML == "" {
		checkText(t, body, "text/plain", m.Text)
	} else if media != "multipart/alternative" {
		t.Fatalf("the first part is %s", media)
	} else {
		inner := multipart.NewReader(body, params["boundary"])
		for _, want := range [][2]string{{"text/plain", m.Text}, {"text/html", m.HTML}} {
			part, err := inner.NextRawPart()
			if err != nil {
				t.Fatal(err)
			}
			checkText(t, part, want[0], want[1])
		}
	}
	for _, want := range m.Attachments {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
		disposition, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if part.Header.Get("Content-Type") != partType(want.MediaType) || disposition != "attachment" || params["filename"] != want.Filename ||
			err != nil || !bytes.Equal(content, want.Content) {
			t.Errorf("%s: %v %q, %d bytes, %v", want.Filename, part.Header, params, len(content), err)
		}
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Errorf("after the last file: %v", err)
	}
}

func checkText(t *testing.T, part *multipart.Part, media, text string) {
	t.Helper()
	got, err := io.ReadAll(quotedprintable.NewReader(part))
	if is, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); is != media || err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != text {
		t.Errorf("%s %q, %v", is, got, err)
	}
}
