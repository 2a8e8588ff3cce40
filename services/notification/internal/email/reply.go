package email

import (
	"errors"
	"net/textproto"
	"strings"
	"unicode"
	"unicode/utf8"

	"fixdesk/pkg/notifyapi"
)

// phase is the phase in which a conversation ended.
type phase int

const (
	phaseDial    phase = iota // connect, greeting, EHLO, STARTTLS, AUTH
	phaseMail                 // MAIL FROM: the sender, and the first command on a reused connection
	phaseRcpt                 // RCPT TO: this recipient
	phaseData                 // DATA, until the final dot is sent
	phaseDot                  // the final dot is, or may be, with the server
	phaseMessage              // the message can't be made: it never reached the wire
)

// origin is the cause of a failure.
type origin int

const (
	originMail      origin = iota // this mail: the server works
	originServer                  // the server, which can't be used for any mail
	originRecipient               // this recipient, or the server when several different recipients have it
)

// meaning alone decides what a failure (RFC 5321 section 4.2) means. Before RCPT
// it is the server's: the outcome is NotTried and costs the recipient no attempt.
// From RCPT on it is the recipient's. A code of 0 is a conversation that broke
// without a reply.
func meaning(f failure, smtputf8 bool) (notifyapi.Outcome, origin) {
	class := f.code / 100
	switch {
	case f.phase == phaseMessage:
		return notifyapi.OutcomePermanent, originMail
	case f.phase == phaseMail && smtputf8 && class == 5 && f.code != 530: // refused because of this recipient's spelling
		return notifyapi.OutcomePermanent, originMail
	case f.phase < phaseRcpt:
		return NotTried, originServer
	case f.code == 421, f.code == 530: // the server closes; it wants authentication or TLS (RFC 4954, RFC 3207)
		return notifyapi.OutcomeTemporary, originRecipient
	case class == 4 && f.isSystem():
		return notifyapi.OutcomeTemporary, originRecipient
	case class == 4:
		return notifyapi.OutcomeTemporary, originMail
	case class == 5:
		return notifyapi.OutcomePermanent, originMail
	case f.phase == phaseDot:
		return notifyapi.OutcomeUncertain, originRecipient
	}
	return notifyapi.OutcomeTemporary, originRecipient // broke before the final dot: certainly not delivered
}

// failure is a conversation that did not end in a delivered message.
type failure struct {
	phase   phase
	code    int // 0: no reply
	reply   string
	timeout bool
	unbegun bool // the service stops, or the mail has expired
}

// failed describes the error of a conversation in the given phase.
func failed(p phase, err error) *failure {
	f := &failure{phase: p, reply: oneLine(withoutEOF(err)), unbegun: errors.Is(err, errStopped) || errors.Is(err, errExpired)}
	f.timeout = isTimeout(err)
	var reply *textproto.Error
	if errors.As(err, &reply) {
		f.code = reply.Code
		if p != phaseDial { // there the error names the step
			f.reply = oneLine(reply.Msg)
		}
	}
	return f
}

// withoutEOF is the text of an error in words that a person understands who reads what
// became of a mail.
func withoutEOF(err error) string {
	for _, end := range []string{"unexpected EOF", "EOF"} {
		if step, ok := strings.CutSuffix(err.Error(), end); ok {
			return step + "the server closed the connection without a reply"
		}
	}
	return err.Error()
}

// enhanced is the subject and detail of the reply's enhanced status code (RFC
// 3463), as "4.5" of "4.4.5 congested"; "" without one.
func (f failure) enhanced() string {
	_, text, _ := strings.Cut(" "+f.reply, " 4.") // at a word's beginning, also behind a step's name
	code, _, _ := strings.Cut(text, " ")
	subject, detail, ok := strings.Cut(code, ".")
	if !ok || !isNumber(subject) || !isNumber(detail) {
		return ""
	}
	return code
}

func isNumber(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// isSystem reports a reply about the server's or the network's condition
// (subjects 3 and 4 of RFC 3463), or 452 without an enhanced code: no storage.
func (f failure) isSystem() bool {
	code := f.enhanced()
	return strings.HasPrefix(code, "3.") || strings.HasPrefix(code, "4.") || f.code == 452 && code == ""
}

// throttling lists texts of replies that ask for fewer mails.
var throttling = []string{"too many", "too much mail", "too fast", "too quickly", "throttl", "rate limit", "ratelimit",
	"sending rate", "slow down", "flood", "congest"}

// isThrottling reports whether the server asks for a slower pace: a 4xx reply
// from MAIL on with the enhanced code 4.4.5 (congestion), 4.5.3 (too many
// recipients) or 4.7.28 (mail flood, RFC 7372's registry), or with the code 454,
// which has no other meaning there, or whose text says so. A reply about the
// recipient's address or mailbox (4.1.x, 4.2.x) is not about the pace.
func (f failure) isThrottling() bool {
	if f.code/100 != 4 || f.phase < phaseMail || f.phase > phaseDot {
		return false
	}
	code := f.enhanced()
	switch {
	case code == "4.5", code == "5.3", code == "7.28":
		return true
	case strings.HasPrefix(code, "1."), strings.HasPrefix(code, "2."):
		return false
	case f.code == 454:
		return true
	}
	text := strings.ToLower(f.reply)
	for _, words := range throttling {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// maxReply is how much of a server's text is kept, in bytes.
const maxReply = 500

// oneLine makes a server's text storable: valid UTF-8, no control characters, at
// most maxReply bytes.
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
