package email

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// attach adds the files to a message, whose text becomes the first part of a
// multipart/mixed (RFC 2046, section 5.1.3).
func attach(msg *gomail.Msg, files []Attachment) error {
	for _, file := range files {
		err := msg.AttachReader(file.Filename, bytes.NewReader(file.Content), withHeader(map[string]string{
			"Content-Type":        partType(file.MediaType),
			"Content-Disposition": disposition(file.Filename),
		}))
		if err != nil {
			return fmt.Errorf("attach a file: %w", err)
		}
	}
	return nil
}

// withHeader sets the header of a file, which go-mail completes otherwise.
func withHeader(fields map[string]string) gomail.FileOption {
	return func(f *gomail.File) {
		for name, value := range fields {
			f.Header.Set(name, value)
		}
	}
}

// partType is the media type of a part in base64. Multiparts and messages may not be
// so encoded (RFC 2045, section 6.4).
func partType(media string) string {
	if strings.HasPrefix(media, "multipart/") || strings.HasPrefix(media, "message/") {
		return "application/octet-stream"
	}
	return media
}

// alternatives adds text and HTML as one part that has a boundary of its own: go-mail
// gives a multipart within another the same one.
func (m Mail) alternatives(msg *gomail.Msg) error {
	boundary := "text-" + hex.EncodeToString(m.ID[:])
	var body strings.Builder
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary(boundary); err != nil {
		return fmt.Errorf("set the boundary: %w", err)
	}
	for _, part := range []struct{ media, text string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		out, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type": {part.media + "; charset=UTF-8"}, "Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return fmt.Errorf("write a part: %w", err)
		}
		encoder := quotedprintable.NewWriter(out)
		if _, err := io.WriteString(encoder, part.text); err != nil {
			return fmt.Errorf("encode a part: %w", err)
		}
		if err := encoder.Close(); err != nil {
			return fmt.Errorf("encode a part: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end the parts: %w", err)
	}
	err := msg.AttachReader("text", strings.NewReader(body.String()), gomail.WithFileEncoding(gomail.NoEncoding), withHeader(map[string]string{
		"Content-Type":        "multipart/alternative;\r\n boundary=" + boundary,
		"Content-Disposition": "inline",
	}))
	if err != nil {
		return fmt.Errorf("add the parts: %w", err)
	}
	return nil
}

// maxSegment is the length of a segment of a file's name, so that lines stay within 78
// characters.
const maxSegment = 56

// disposition is the Content-Disposition of a file (RFC 2183). A name with other than
// plain characters is spelt as RFC 2231, section 4 has it, which RFC 5987 takes over;
// a long one in several segments (RFC 2231, section 3).
func disposition(filename string) string {
	if isPlainName(filename) && len(filename) <= maxSegment {
		return `attachment; filename="` + filename + `"`
	}
	encoded := percentEncode(filename)
	if len(encoded) <= maxSegment {
		return "attachment;\r\n filename*=UTF-8''" + encoded
	}
	var b strings.Builder
	b.WriteString("attachment")
	for n := 0; encoded != ""; n++ {
		cut := min(maxSegment, len(encoded))
		for i := 1; i <= 2 && cut < len(encoded); i++ { // not within an escape
			if encoded[cut-i] == '%' {
				cut -= i
				break
			}
		}
		charset := ""
		if n == 0 {
			charset = "UTF-8''"
		}
		fmt.Fprintf(&b, ";\r\n filename*%d*=%s%s", n, charset, encoded[:cut])
		encoded = encoded[cut:]
	}
	return b.String()
}

// attrChar are the characters besides letters and digits that need no escape (RFC
// 5987, section 3.2.1).
const attrChar = "!#$&+-.^_`|~"

// percentEncode escapes the bytes of a name.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isLetterOrDigit(c) || strings.IndexByte(attrChar, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// isPlainName reports whether a name is the same in quotes.
func isPlainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetterOrDigit(c) && strings.IndexByte(" !#$&'()+,-.;=@[]^_`{}~", c) < 0 {
			return false
		}
	}
	return true
}

func isLetterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
