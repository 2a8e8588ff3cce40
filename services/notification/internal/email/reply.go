package email

import (
	"errors"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"fixdesk/pkg/notifyapi"
)

// phase is how far a conversation had come when it ended.
type phase int

const (
	phaseDial    phase = iota // connect, greeting, EHLO, STARTTLS, AUTH
	phaseMail                 // MAIL FROM: the sender, and the first word on a reused connection
	phaseRcpt                 // RCPT TO: this recipient
	phaseData                 // DATA, until the final dot is sent
	phaseDot                  // the final dot is, or may be, with the server
	phaseMessage              // the message can't be made: never reached the wire
)

// meaning is the one place that says what a reply (RFC 5321 section 4.2)
// means. code 0 is a conversation that broke without a reply. trouble says
// that the server, not the recipient, is the problem: then the outcome is
// NotTried, and nobody's attempt is burnt.
func meaning(p phase, code int, smtputf8 bool) (v notifyapi.Outcome, trouble bool) {
	switch {
	case p == phaseMessage:
		return notifyapi.OutcomePermanent, false
	case p == phaseDot && code/100 == 2:
		return notifyapi.OutcomeSent, false
	case code == 421: // the service closes, RFC 5321 section 3.8
		return NotTried, true
	case code == 530: // authentication or TLS required, RFC 4954 and RFC 3207
		return NotTried, true
	case p == phaseMail && smtputf8 && code/100 == 5: // refused because of this recipient's spelling
		return notifyapi.OutcomePermanent, false
	case p == phaseDial, p == phaseMail:
		return NotTried, true
	case code/100 == 4:
		return notifyapi.OutcomeTemporary, false
	case code/100 == 5:
		return notifyapi.OutcomePermanent, false
	case p == phaseDot:
		return notifyapi.OutcomeUncertain, false
	}
	return notifyapi.OutcomeTemporary, false // broke before the final dot: certainly not delivered
}

// failure is a conversation that did not end in a delivered message.
type failure struct {
	phase   phase
	code    int
	reply   string
	timeout bool
	late    bool // never begun: its time was over
}

var phases = map[gomail.SendErrReason]phase{
	gomail.ErrGetSender:     phaseMessage,
	gomail.ErrGetRcpts:      phaseMessage,
	gomail.ErrNoUnencoded:   phaseMessage,
	gomail.ErrConnCheck:     phaseMail,
	gomail.ErrSMTPMailFrom:  phaseMail,
	gomail.ErrSMTPRcptTo:    phaseRcpt,
	gomail.ErrSMTPData:      phaseData,
	gomail.ErrWriteContent:  phaseData,
	gomail.ErrSMTPDataClose: phaseDot,
}

// readFailure finds phase, code and text in go-mail's error, whose own idea of
// temporary and of the code is not used: it calls a broken connection
// permanent, and a 2xx other than 250 no code at all.
func readFailure(err error) failure {
	var sendErr *gomail.SendError
	if !errors.As(err, &sendErr) {
		return failure{phase: phaseDot, reply: oneLine(err.Error())}
	}
	p, known := phases[sendErr.Reason]
	if !known {
		p = phaseDot // the careful reading of what we don't know
	}
	text := strings.TrimPrefix(sendErr.Error(), sendErr.Reason.String()+": ")
	text, _, _ = strings.Cut(text, ", affected recipient(s): ")
	text, _, _ = strings.Cut(text, ", affected message ID: ")
	f := failure{phase: p, timeout: strings.Contains(text, "i/o timeout")}
	f.code, f.reply = splitReply(text)
	return f
}

// dialFailure reads what go-mail's dialling returns: errors that wrap the
// server's reply, if there was one.
func dialFailure(err error) failure {
	f := failure{phase: phaseDial, reply: oneLine(err.Error()), late: errors.Is(err, errNoTime)}
	var netErr net.Error
	f.timeout = errors.As(err, &netErr) && netErr.Timeout()
	var reply *textproto.Error
	if errors.As(err, &reply) {
		f.code = reply.Code
	}
	return f
}

// splitReply parts "550 5.1.1 no such user" into code and text. net/textproto
// puts the text in quotes.
func splitReply(s string) (int, string) {
	if len(s) < 4 || s[3] != ' ' {
		return 0, oneLine(s)
	}
	code, err := strconv.Atoi(s[:3])
	if err != nil || code < 200 || code > 599 {
		return 0, oneLine(s)
	}
	text := s[4:]
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		if unquoted, err := strconv.Unquote(quoted); err == nil {
			text = unquoted
		}
	}
	return code, oneLine(text)
}

// maxReply is how much of a server's text is kept, in bytes.
const maxReply = 500

// oneLine makes a server's text fit to be stored and shown: valid UTF-8, no
// control characters, not longer than maxReply.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxReply {
		return s
	}
	cut := maxReply
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
