package email

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"net/textproto"
	"strings"
)

// outgoing is a mail as it goes over the wire.
type outgoing struct {
	from, to string // with angle brackets
	utf8     bool   // an address needs SMTPUTF8
	content  []byte // with its dots doubled and the final one (RFC 5321 section 4.5.2)
}

// outgoing makes the mail for the wire, in a buffer where that is large enough.
func (p *Pool) outgoing(buffer []byte, m Mail) (*outgoing, error) {
	s := p.config.Sender
	to, err := wireAddress(m.To)
	if err != nil {
		return nil, err
	}
	o := &outgoing{from: envelopeAddress(s.envelopeSender(m)), to: envelopeAddress(to), utf8: s.needsSMTPUTF8(m, to)}
	if strings.ContainsAny(o.from+o.to, "\r\n") {
		return nil, errors.New("an address has a line break")
	}
	if o.content = p.layouts.fill(buffer, s, m, o.to); o.content != nil {
		return o, nil
	}
	content, err := s.content(m)
	if err != nil {
		return nil, err
	}
	o.content = dotted(content)
	p.layouts.add(s, m, o.to, o.content)
	return o, nil
}

func envelopeAddress(address string) string {
	return (&mail.Address{Address: address}).String()
}

// content is the message for the wire.
func (s Sender) content(m Mail) ([]byte, error) {
	msg, err := s.message(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write message: %w", err)
	}
	return folded(b.Bytes()), nil
}

// dotted is a message with its dots doubled and the final one.
func dotted(content []byte) []byte {
	if bytes.HasSuffix(content, []byte("\r\n")) && !bytes.HasPrefix(content, []byte(".")) && !bytes.Contains(content, []byte("\n.")) &&
		bytes.Count(content, []byte("\n")) == bytes.Count(content, []byte("\r\n")) {
		return append(content, ".\r\n"...)
	}
	var b bytes.Buffer
	w := textproto.NewWriter(bufio.NewWriter(&b)).DotWriter()
	_, _ = w.Write(content) // a bytes.Buffer never fails
	_ = w.Close()
	return b.Bytes()
}
