package email

import (
	"fmt"
	"net/mail"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

// message builds the mail for the wire. The text is quoted-printable, so that
// any server passes it on unchanged.
func (s Sender) message(m Mail) (*gomail.Msg, error) {
	to, err := wireAddress(m.To)
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(
		gomail.WithNoDefaultUserAgent(),
		gomail.WithBoundary(m.boundary()),
		gomail.WithEncoding(gomail.EncodingQP),
	)
	msg.FromMailAddress(&mail.Address{Name: s.From.Name, Address: s.From.Address})
	msg.ToMailAddress(&mail.Address{Address: to})
	if m.ReplyTo != "" {
		if err := msg.ReplyTo(envelopeAddress(m.ReplyTo)); err != nil {
			return nil, fmt.Errorf("set Reply-To: %w", err)
		}
	}
	msg.Subject(headerText(m.Subject))
	msg.SetDateWithValue(m.Date.UTC())
	msg.SetMessageIDWithValue(m.MessageID())
	// These headers suppress automatic replies (RFC 3834), Exchange's included.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	if m.Thread != "" {
		root := "<" + m.threadRoot() + ">"
		msg.SetGenHeader(gomail.HeaderInReplyTo, root)
		msg.SetGenHeader(gomail.HeaderReferences, root)
	}
	if m.Unsubscribe != "" {
		msg.SetGenHeader(gomail.HeaderListUnsubscribe, "<"+m.Unsubscribe+">")
		msg.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click") // RFC 8058
	}
	if m.RequestID != "" {
		msg.SetGenHeader("X-Request-ID", m.RequestID)
	}
	if err := m.body(msg); err != nil {
		return nil, err
	}
	if s.DKIM != nil {
		msg.SetDKIM(s.DKIM.signer(m.Date))
	}
	return msg, nil
}

// body adds text, HTML and files.
func (m Mail) body(msg *gomail.Msg) error {
	if m.HTML != "" && len(m.Attachments) > 0 {
		if err := m.alternatives(msg); err != nil {
			return err
		}
	} else {
		msg.SetBodyString(gomail.TypeTextPlain, m.Text)
		if m.HTML != "" {
			msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
		}
	}
	return attach(msg, m.Attachments)
}

// wireAddress writes an international domain in ASCII when the rest of the address
// is ASCII, so that a server without SMTPUTF8 can take it (RFC 5891).
func wireAddress(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || needsSMTPUTF8(address[:at]) || !needsSMTPUTF8(address[at:]) {
		return address, nil
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return "", fmt.Errorf("the domain can't be spelt in ASCII: %w", err)
	}
	return address[:at+1] + domain, nil
}
