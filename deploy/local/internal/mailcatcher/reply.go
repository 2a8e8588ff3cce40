package mailcatcher

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
)

// replyTimeout is how long the inbound listener may take for a reply.
const replyTimeout = 30 * time.Second

// reply is an answer that a recipient of a message writes to its sender.
type reply struct {
	From string // one of the recipients
	Text string
	File *attachment // nil for none
}

type attachment struct {
	Name, MediaType string
	Content         []byte
}

var (
	errNoRecipient = errors.New("no recipient of the message has that address")
	errNoSender    = errors.New("the message names nobody to reply to")
)

// messageID is the syntax of an identifier in Message-ID, In-Reply-To and References
// (RFC 5322, section 3.6.4), as far as a reply needs it.
var messageID = regexp.MustCompile(`<[^<>\s]+>`)

// compose writes the reply as a mail client does (RFC 5322, section 3.6.4) and returns
// it with the addresses that it goes to: those of Reply-To, else of From, else the
// envelope sender.
func (r reply) compose(e envelope, raw []byte, now time.Time) (message []byte, to []string, err error) {
	if !slices.Contains(e.To, r.From) {
		return nil, nil, errNoRecipient
	}
	original, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, errNoSender
	}
	people := repliedTo(e, original.Header)
	if len(people) == 0 {
		return nil, nil, errNoSender
	}
	var names []string
	for _, p := range people {
		names, to = append(names, p.String()), append(to, p.Address)
	}
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", (&mail.Address{Address: r.From}).String())
	header("To", strings.Join(names, ",\r\n "))
	header("Subject", mime.QEncoding.Encode("utf-8", replySubject(decodeHeader(original.Header.Get("Subject")))))
	header("Date", now.Format(time.RFC1123Z))
	header("Message-ID", "<"+uuid.NewString()+"@mailcatcher.invalid>")
	if id := messageID.FindString(original.Header.Get("Message-ID")); id != "" {
		references := append(messageID.FindAllString(original.Header.Get("References"), -1), id)
		header("In-Reply-To", id)
		header("References", strings.Join(references, "\r\n "))
	}
	header("MIME-Version", "1.0")
	text := strings.TrimRight(r.Text, "\r\n ") + "\n\n" + quote(parse(raw).Text, original.Header, e.ReceivedAt)
	if r.File == nil {
		err = writeText(func(h textproto.MIMEHeader) (io.Writer, error) {
			for name, values := range h {
				header(name, values[0])
			}
			_, err := b.WriteString("\r\n")
			return &b, err
		}, text)
	} else {
		err = writeMixed(&b, text, *r.File)
	}
	return b.Bytes(), to, err
}

func repliedTo(e envelope, h mail.Header) []*mail.Address {
	for _, name := range []string{"Reply-To", "From"} {
		if list, err := h.AddressList(name); err == nil {
			return list
		}
	}
	if e.From == "" {
		return nil
	}
	return []*mail.Address{{Address: e.From}}
}

func replySubject(subject string) string {
	if strings.HasPrefix(strings.ToLower(subject), "re:") {
		return subject
	}
	return "Re: " + subject
}

// quote returns the text of the original as mail clients quote it.
func quote(text string, h mail.Header, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "On %s, %s wrote:\n", at.Format("Mon, 2 Jan 2006 at 15:04"), decodeHeader(h.Get("From")))
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		b.WriteString(strings.TrimRight("> "+line, "\n") + "\n")
	}
	return b.String()
}

func writeText(part func(textproto.MIMEHeader) (io.Writer, error), text string) error {
	w, err := part(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		return err
	}
	encoder := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(encoder, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	return encoder.Close()
}

func writeMixed(b *bytes.Buffer, text string, file attachment) error {
	parts := multipart.NewWriter(b)
	fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n", parts.Boundary())
	if err := writeText(parts.CreatePart, text); err != nil {
		return err
	}
	mediaType, _, err := mime.ParseMediaType(file.MediaType)
	if err != nil || strings.HasPrefix(mediaType, "multipart/") || strings.HasPrefix(mediaType, "message/") {
		mediaType = "application/octet-stream"
	}
	w, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Type": {mediaType}, "Content-Transfer-Encoding": {"base64"},
		"Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": file.Name})},
	})
	if err != nil {
		return err
	}
	encoded := base64.StdEncoding.EncodeToString(file.Content)
	for len(encoded) > 0 {
		n := min(76, len(encoded)) // RFC 2045, section 6.8
		if _, err := fmt.Fprintf(w, "%s\r\n", encoded[:n]); err != nil {
			return err
		}
		encoded = encoded[n:]
	}
	return parts.Close()
}

// deliver hands a message to the SMTP listener at an address.
func deliver(address, from string, to []string, message []byte) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return errors.Join(err, conn.Close())
	}
	client := smtp.NewClient(conn)
	defer client.Close()
	client.CommandTimeout, client.SubmissionTimeout = replyTimeout, replyTimeout
	if err := client.SendMail(from, to, bytes.NewReader(message)); err != nil {
		return err
	}
	_ = client.Quit() // the message is accepted
	return nil
}
