package inbound

import (
	"regexp"
	"strings"
	"unicode"
)

// replyPrefixes and forwardPrefixes are what mail programs put before a subject, in
// lower case, without the colon.
var (
	replyPrefixes = words(`re aw antw antwort sv vs svar ynt yanıt rif r res resp odp отв ответ re. відп vá válasz απ σχετ
		回复 答复 回覆 返信 답장 회신 השב תגובה رد الرد ref réf回 vast`)
	forwardPrefixes = words(`fw fwd wg tr rv enc i inoltro doorst vb vl pd пересл пер fs vi továbbítás προ İlt ilt ynt-fw fvd
		转发 轉寄 転送 전달 הועבר إعادة-توجيه přep předáno`)
)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(s) {
		set[w] = true
	}
	return set
}

// prefix matches one of them at the beginning of a subject: "Re:", "RE[2]:", "AW :",
// "回复：".
var prefix = regexp.MustCompile(`^\s*(\pL[\pL.-]{0,14})\s*(?:[\[(]\d{1,3}[\])])?\s*[:：]\s*`)

// ticketTag is what subjects of the CRM's own mails begin with. It never identifies
// a ticket.
var ticketTag = regexp.MustCompile(`\[Fixdesk #\d{1,19}\]\s*`)

// subject is a mail's subject without its prefixes and tags.
type subject struct {
	title     string
	forwarded bool // the last prefix that was put before it is that of a forwarded mail
	tagged    bool // it has the tag of the CRM's own mails
}

func parseSubject(s string) subject {
	out := subject{tagged: ticketTag.MatchString(s)}
	s = oneLine(s)
	for first := true; ; {
		s = strings.TrimSpace(s)
		if loc := ticketTag.FindStringIndex(s); loc != nil && loc[0] == 0 {
			s = s[loc[1]:]
			continue
		}
		m := prefix.FindStringSubmatch(s)
		if m == nil {
			break
		}
		word := strings.ToLower(m[1])
		if !replyPrefixes[word] && !forwardPrefixes[word] {
			break
		}
		if first {
			out.forwarded, first = forwardPrefixes[word], false
		}
		s = s[len(m[0]):]
	}
	out.title = strings.TrimSpace(ticketTag.ReplaceAllString(s, ""))
	return out
}

// oneLine replaces line breaks, control and formatting characters that a title may not
// have, and white space in a row.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case isDirection(r) || r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))), " ")
}

// isDirection reports whether r changes the direction of text. Package text refuses
// them; in mails in Arabic and Hebrew they are common, and nothing is lost without.
func isDirection(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r >= '\u206a' && r <= '\u206f'
}
