package inbound

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/text"
)

const (
	// maxTitle and maxBody are the limits of tickets and comments, in characters.
	maxTitle = 200
	maxBody  = 20000
	// maxKept is how much of a mail's text is kept, in characters; the notification
	// service has the rest.
	maxKept = 200_000
)

// The texts where a mail has none.
const (
	noSubject = "(no subject)"
	noText    = "(The mail has no text.)"
	shortened = "\n\n(The mail is longer. Its original has the rest.)"
)

// wholeText is a mail's text as people read it.
func wholeText(m notifyapi.InboundMail) string {
	if !isBlankText(m.Text) {
		return m.Text
	}
	return htmlText(m.HTML)
}

func isBlankText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !isInvisible(r) && !unicode.IsControl(r) }) < 0
}

// newText is what an answer says itself. A forwarded mail is shown as a whole, since
// what it quotes is what its sender wants to say; so is one that quotes alone. With
// files, one of which each quoted line is marked has no text of its own; without marks,
// an answer may stand below the quoted mail.
func newText(m notifyapi.InboundMail, ours func(line string) bool) string {
	whole := wholeText(m)
	if parseSubject(m.Subject).forwarded {
		return whole
	}
	own := cutReply(whole, ours)
	if own == "" && (len(m.Attachments) == 0 || cutReply(whole, none) != "") {
		return whole
	}
	return own
}

func none(string) bool { return false }

// body makes a text fit a comment or a description: without what package text refuses,
// with the notes at its end. It is never empty.
func body(s string, notes []string) string {
	end := ""
	for _, note := range notes {
		end += "\n\n" + note
	}
	s = printable(s)
	if isBlankText(s) {
		s = noText
	}
	if most := maxBody - utf8.RuneCountInString(end); utf8.RuneCountInString(s) > most {
		s = clipped(s, most-utf8.RuneCountInString(shortened)) + shortened
	}
	clean, err := text.Prose(s+end, maxBody)
	if err != nil { // NFC can make a text longer
		clean, err = text.Prose(clipped(s, maxBody/4)+shortened, maxBody)
	}
	if err != nil {
		return noText
	}
	return clean
}

// printable removes the characters that package text refuses.
func printable(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\f", "\n", "\v", "\n").Replace(strings.ToValidUTF8(s, "\ufffd"))
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || isDirection(r) || r == '\ufeff' {
			return -1
		}
		return r
	}, s)
}

// title makes the title of a new ticket: the subject, or else the first line of the text.
func title(m notifyapi.InboundMail) string {
	for _, candidate := range []string{parseSubject(m.Subject).title, firstLine(wholeText(m))} {
		if clean, err := text.Line(clipped(oneLine(candidate), maxTitle), maxTitle); err == nil {
			return clean
		}
	}
	return noSubject
}

func firstLine(s string) string {
	for l := range strings.SplitSeq(s, "\n") {
		if l = oneLine(l); l != "" && !isQuoted(l) {
			return clipped(l, 80)
		}
	}
	return ""
}

// kept is as much of a mail's text as is kept with it.
func kept(m notifyapi.InboundMail) (content string, truncated bool) {
	whole := strings.ToValidUTF8(strings.ReplaceAll(wholeText(m), "\x00", ""), "\ufffd")
	if utf8.RuneCountInString(whole) <= maxKept {
		return whole, m.Truncated
	}
	return string([]rune(whole)[:maxKept]), true
}

// continues is the note on a ticket that goes on from a closed one.
func continues(number int64) string {
	return fmt.Sprintf("(This answers a mail about #%d, which was closed long before.)", number)
}
