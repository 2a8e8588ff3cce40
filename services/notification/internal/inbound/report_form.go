package inbound

import (
	"html"
	"net/mail"
	"regexp"
	"slices"
	"strings"
)

// isAutomaticReply reports a reply that a person's mailbox makes (RFC 3834), such as
// an out-of-office note, which may quote anything. Exim calls its reports so, too, but
// never sends them as postmaster.
func (p part) isAutomaticReply() bool {
	return strings.HasPrefix(strings.ToLower(p.header.get("auto-submitted")), "auto-replied") &&
		p.media != "multipart/report" && !p.isFrom("mailer-daemon")
}

// isFromDaemon reports whether a mail server says that it wrote the mail itself.
func (p part) isFromDaemon() bool {
	return p.isFrom("mailer-daemon", "postmaster", "maildaemon", "mail-daemon", "mailerdaemon", "microsoftexchange")
}

// isFrom reports whether the mail is from an address that begins with one of the
// names, or has Exim's header.
func (p part) isFrom(names ...string) bool {
	if p.header.get("x-failed-recipients") != "" {
		return true
	}
	from := strings.ToLower(unbracket(p.header.get("from")))
	if parsed, err := mail.ParseAddress(p.header.get("from")); err == nil {
		from = strings.ToLower(parsed.Address)
	}
	local, _, _ := strings.Cut(from, "@")
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(local, name) })
}

// copyOf begins the copy of the returned mail in reports without parts for it.
var copyOf = regexp.MustCompile(`(?im)^[ \t]*(?:-{2,}[ \t]*)?(?:below this line is a copy|this is a copy of (?:the|your) message|` +
	`(?:original|unsent|returned) message(?: follows| headers| header)?|a copy of the original message|message header follows|` +
	`message headers follow|the following is a copy|the header of the original message)\b.*$`)

var (
	copiedID   = regexp.MustCompile(`(?im)^[ >|\t]*message-id:\s*<([^>\s]+)>`)
	copiedPath = regexp.MustCompile(`(?im)^[ >|\t]*return-path:\s*<([^>\s]+)>`)
)

// ownFormReport reads a report that is written for people, in the forms that mail
// servers use instead of RFC 3464.
func ownFormReport(root part) (Report, bool) {
	if !root.isFromDaemon() {
		return Report{}, false
	}
	text := root.words()
	words, copied := text, ""
	if at := copyOf.FindStringIndex(text); at != nil {
		words, copied = text[:at[0]], text[at[1]:]
	}
	r := Report{Kind: ReportDelivery}
	for _, form := range []func(part, string) []ReportedRecipient{qmailForm, sendmailForm, eximForm, exchangeForm, anyForm} {
		if r.Recipients = form(root, words); len(r.Recipients) > 0 {
			break
		}
	}
	r.Recipients = r.Recipients[:min(len(r.Recipients), maxReported)]
	if r.Sender, r.MessageID = original(root); r.MessageID == "" {
		r.Sender, r.MessageID = submatch(copiedPath, copied), submatch(copiedID, copied)
	}
	if len(r.Recipients) == 0 {
		return Report{}, false
	}
	return r, true
}

// words is the text of the report, without the tags of HTML.
func (p part) words() string {
	if plain, ok := p.find("text/plain"); ok {
		return plain.text()
	}
	if page, ok := p.find("text/html"); ok {
		text := breaks.ReplaceAllString(page.text(), "\n")
		return html.UnescapeString(tags.ReplaceAllString(text, ""))
	}
	return ""
}

var (
	breaks = regexp.MustCompile(`(?i)<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^>]*>`)
	// tags are names in angle brackets; an address or "<host #5.1.1>" is none.
	tags = regexp.MustCompile(`(?i)</?(?:[a-z][a-z0-9]*)(?:\s+[a-z-]+\s*=[^>]*)?\s*/?>`)
)

func submatch(r *regexp.Regexp, s string) string {
	if found := r.FindStringSubmatch(s); found != nil {
		return found[1]
	}
	return ""
}

// failure is a recipient whose mail failed, with the codes in the server's words.
func failure(address, text string) ReportedRecipient {
	r := ReportedRecipient{Final: typedAddress(address), Action: ActionFailed, Text: reportLine(text)}
	r.Status, r.Code = enhancedCode(text), replyCode(text)
	if r.Status == "" && r.Code == 0 && timedOut.MatchString(text) {
		r.Status = "4.4.7" // delivery time expired (RFC 3463)
	}
	return r
}

// timedOut are the words of Exim and qmail for a mail that waited for too long.
var timedOut = regexp.MustCompile(`(?i)retry timeout exceeded|in the queue too long|message expired`)

var (
	qmailGreeting  = regexp.MustCompile(`(?m)^Hi\. This is `)
	qmailRecipient = regexp.MustCompile(`(?m)^<([^<>\s]+@[^<>\s]+)>:[ \t]*$`)
)

// qmailForm reads the paragraphs of a report by qmail (QSBMF): an address in angle
// brackets, then the reason.
func qmailForm(_ part, words string) []ReportedRecipient {
	if !qmailGreeting.MatchString(words) {
		return nil
	}
	var list []ReportedRecipient
	for _, at := range qmailRecipient.FindAllStringSubmatchIndex(words, maxReported) {
		reason, _, _ := strings.Cut(strings.TrimLeft(words[at[1]:], "\n"), "\n\n")
		list = append(list, failure(words[at[2]:at[3]], reason))
	}
	return list
}

var (
	sendmailFatal     = regexp.MustCompile(`(?i)-----\s*the following addresses had (permanent fatal|transient non-fatal) errors\s*-----`)
	sendmailSection   = regexp.MustCompile(`(?m)^\s*-{3,}`)
	sendmailRecipient = regexp.MustCompile(`(?m)^[ \t]*(?:"[^"\n]*"[ \t]*)?<?([^<>\s(),"|]+@[^<>\s(),"|]+)>?`)
	sendmailReason    = regexp.MustCompile(`(?s)\(reason:\s*(.*?)\)\s*(?:\n|$)`)
)

// sendmailForm reads the lists of addresses and the transcript of a report by
// sendmail.
func sendmailForm(_ part, words string) []ReportedRecipient {
	var list []ReportedRecipient
	for _, at := range sendmailFatal.FindAllStringSubmatchIndex(words, maxReported) {
		addresses := words[at[1]:]
		transcript := ""
		if end := sendmailSection.FindStringIndex(addresses); end != nil {
			addresses, transcript = addresses[:end[0]], addresses[end[0]:]
		}
		reason := submatch(sendmailReason, addresses)
		if reason == "" {
			reason = lineWithCode(transcript)
		}
		for _, found := range sendmailRecipient.FindAllStringSubmatch(addresses, maxReported) {
			r := failure(found[1], reason)
			if strings.HasPrefix(strings.ToLower(words[at[2]:at[3]]), "transient") {
				r.Action = ActionDelayed
			}
			list = append(list, r)
		}
	}
	return list
}

var lineBegin = regexp.MustCompile(`(?m)^(?:>>> |<<< )?[ \t]*[45][0-5][0-9][ \-].*$`)

// lineWithCode is the first line that begins with a reply code, or has an enhanced
// status code.
func lineWithCode(text string) string {
	if line := lineBegin.FindString(text); line != "" {
		return strings.TrimLeft(line, "<> \t")
	}
	for line := range strings.SplitSeq(text, "\n") {
		if code := enhancedCode(line); code != "" && code[0] != '2' {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// eximForm reads a report by Exim, which names the failed recipients in a header
// and repeats each in the text, before the reason.
func eximForm(root part, words string) []ReportedRecipient {
	var list []ReportedRecipient
	for address := range strings.SplitSeq(root.header.get("x-failed-recipients"), ",") {
		address = unbracket(address)
		if address == "" || len(list) == maxReported {
			continue
		}
		_, reason, _ := strings.Cut(words, address+"\n")
		reason, _, _ = strings.Cut(reason, "\n\n")
		if reason == "" {
			reason = lineWithCode(words)
		}
		list = append(list, failure(address, reason))
	}
	return list
}

var (
	exchangeCode    = regexp.MustCompile(`<\s*([^<>]*#\s*<?\s*([245]\.\d{1,3}\.\d{1,3})\b[^<>]*)>`)
	exchangeAddress = regexp.MustCompile(`[^\s<>()\[\]"';:,=]+@[^\s<>()\[\]"';:,=]+\.[^\s<>()\[\]"';:,=]*[^\s<>()\[\]"';:,=.]`)
)

// exchangeForm reads a report by Exchange for people, which ends each reason with
// a code such as "<mail.example.com #5.1.1>", or "#550 5.1.1 …" in its part for
// administrators.
func exchangeForm(_ part, words string) []ReportedRecipient {
	found := exchangeCode.FindStringSubmatchIndex(words)
	if found == nil {
		return nil
	}
	before := words[:found[0]]
	addresses := exchangeAddress.FindAllString(before, -1)
	address := ""
	if len(addresses) > 0 {
		address = addresses[len(addresses)-1]
	}
	r := failure(address, words[found[2]:found[3]])
	r.Status = words[found[4]:found[5]]
	if r.Status[0] == '4' {
		r.Action = ActionDelayed
	}
	return []ReportedRecipient{r}
}

// anyForm reads a report in words of any language: the line with a code, and the
// address nearest before or in it. Without a code nothing is certain.
func anyForm(_ part, words string) []ReportedRecipient {
	line := lineWithCode(words)
	if line == "" {
		return nil
	}
	before, _, _ := strings.Cut(words, line)
	address := ""
	if addresses := exchangeAddress.FindAllString(before, -1); len(addresses) > 0 {
		address = addresses[len(addresses)-1]
	} else if inLine := exchangeAddress.FindString(line); inLine != "" {
		address = inLine
	}
	r := failure(address, line)
	r.Action = action("", r.Status)
	if r.Status == "" && r.Code/100 == 4 {
		r.Action = ActionDelayed
	}
	return []ReportedRecipient{r}
}
