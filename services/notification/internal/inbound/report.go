package inbound

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReportKind is what a report is about.
type ReportKind string

// The kinds of reports.
const (
	ReportDelivery  ReportKind = "delivery"  // what became of a mail (RFC 3464)
	ReportComplaint ReportKind = "complaint" // somebody's judgement of a mail (RFC 5965)
)

// Report is what a mail server says about a mail that it was given earlier.
type Report struct {
	Kind ReportKind
	// Recipients are those that a delivery report speaks of, in its order.
	Recipients []ReportedRecipient
	// Feedback is the Feedback-Type of a complaint in lower case, such as abuse.
	Feedback string
	// Sender is the envelope sender of the mail that is reported, and MessageID its
	// Message-ID without angle brackets; "" where the report has none.
	Sender, MessageID string
}

// Action is what a server did with a mail for one recipient (RFC 3464, section
// 2.3.3).
type Action string

// The actions.
const (
	ActionFailed    Action = "failed"
	ActionDelayed   Action = "delayed"
	ActionDelivered Action = "delivered"
	ActionRelayed   Action = "relayed"
	ActionExpanded  Action = "expanded"
)

// ReportedRecipient is one recipient's part of a delivery report.
type ReportedRecipient struct {
	Final    string `json:",omitempty"` // the address at the reporting server
	Original string `json:",omitempty"` // the address that the mail was sent to
	Action   Action
	Status   string `json:",omitempty"` // the enhanced status code (RFC 3463), such as 5.1.1
	Code     int    `json:",omitempty"` // the SMTP reply code; 0 when there is none
	Text     string `json:",omitempty"` // the server's own words, one line of at most 500 bytes
	Server   string `json:",omitempty"` // the server that refused the mail
}

// IsPermanent reports whether the cause of the failure lasts, so that another mail
// to the address would fail, too. A failure without any code does.
func (r ReportedRecipient) IsPermanent() bool {
	switch {
	case r.Action != ActionFailed:
		return false
	case r.Status != "":
		return r.Status[0] == '5'
	case r.Code != 0:
		return r.Code/100 == 5
	}
	return true
}

// names reports whether the part is about an address in canonical form.
func (r ReportedRecipient) names(email string) bool {
	return strings.EqualFold(r.Final, email) || strings.EqualFold(r.Original, email) ||
		strings.EqualFold(decodeXtext(r.Original), email)
}

// For returns the part of the report that is about the address. A report that names
// others only is about the mailboxes that the address stands for: the mail failed
// when it failed for all of them. ok is false when the report has no part.
func (r Report) For(email string) (part ReportedRecipient, ok bool) {
	for _, part := range r.Recipients {
		if part.names(email) {
			return part, true
		}
	}
	for i, other := range r.Recipients {
		if i == 0 || part.Action == ActionFailed && other.Action != ActionFailed {
			part = other
		}
	}
	return part, len(r.Recipients) > 0
}

// ParseReport reads a delivery report (RFC 3464, with the addresses of RFC 3461
// and RFC 6533), a complaint (RFC 5965), or a report in the own form of Exim,
// qmail, sendmail or Exchange. It is false for any other mail. It never fails on
// broken mails: what can't be read is absent.
func ParseReport(raw []byte) (Report, bool) {
	root := parsePart(raw)
	if root.isAutomaticReply() {
		return Report{}, false
	}
	if root.media == "multipart/report" || root.isFromDaemon() || root.header.get("return-path") == "<>" {
		if r, ok := standardReport(root); ok {
			return r, true
		}
	}
	return ownFormReport(root)
}

// standardReport reads the parts that RFC 3464 and RFC 5965 define. They are not
// looked for within attached mails: somebody who forwards a report doesn't make
// one.
func standardReport(root part) (Report, bool) {
	if feedback, ok := root.find("message/feedback-report"); ok {
		return complaint(root, feedback), true
	}
	status, ok := root.find("message/delivery-status", "message/global-delivery-status")
	if !ok {
		return Report{}, false
	}
	r := Report{Kind: ReportDelivery, Recipients: deliveryStatus(status.content())}
	r.Sender, r.MessageID = original(root)
	return r, len(r.Recipients) > 0
}

// original finds the returned mail, or its header, and reads its sender and
// Message-ID.
func original(root part) (sender, messageID string) {
	returned, ok := root.find("message/rfc822", "message/global",
		"text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
	if !ok {
		return "", ""
	}
	h, _ := parseHeader(returned.content())
	return unbracket(h.get("return-path")), unbracket(h.get("message-id"))
}

// complaint reads a feedback report.
func complaint(root, feedback part) Report {
	r := Report{Kind: ReportComplaint}
	r.Sender, r.MessageID = original(root)
	for _, group := range fieldGroups(feedback.content()) {
		if r.Feedback == "" {
			r.Feedback = strings.ToLower(group.get("feedback-type"))
		}
		if from := unbracket(group.get("original-mail-from")); from != "" {
			r.Sender = from
		}
	}
	return r
}

// deliveryStatus reads the groups of fields of a message/delivery-status part.
// Those without a recipient or an action are about the report itself.
func deliveryStatus(body []byte) []ReportedRecipient {
	var list []ReportedRecipient
	for _, group := range fieldGroups(body) {
		if len(list) == maxReported {
			break
		}
		if group.get("final-recipient") == "" && group.get("original-recipient") == "" && group.get("action") == "" {
			continue
		}
		list = append(list, reportedRecipient(group))
	}
	return list
}

func reportedRecipient(group header) ReportedRecipient {
	r := ReportedRecipient{
		Final: typedAddress(group.get("final-recipient")), Original: typedAddress(group.get("original-recipient")),
		Server: reportLine(typedValue(group.get("remote-mta"))), Text: reportLine(typedValue(group.get("diagnostic-code"))),
	}
	r.Code = replyCode(r.Text)
	r.Status = moreExact(enhancedCode(group.get("status")), enhancedCode(r.Text))
	if r.Text == "" { // some servers write it as a comment
		_, comment, _ := strings.Cut(group.get("status"), " ")
		r.Text = reportLine(strings.Trim(comment, "() "))
	}
	r.Action = action(group.get("action"), r.Status)
	return r
}

// action reads the Action field; a report without one says it by its status.
func action(field, status string) Action {
	switch a := Action(strings.ToLower(firstWord(field))); a {
	case ActionFailed, ActionDelayed, ActionDelivered, ActionRelayed, ActionExpanded:
		return a
	}
	switch {
	case strings.HasPrefix(status, "2"):
		return ActionDelivered
	case strings.HasPrefix(status, "4"):
		return ActionDelayed
	}
	return ActionFailed
}

// moreExact is the status of the field, or that of the text where the field has only
// the class.
func moreExact(field, text string) string {
	if field == "" || strings.HasSuffix(field, ".0.0") && text != "" && text[0] == field[0] {
		return text
	}
	return field
}

var (
	enhanced = regexp.MustCompile(`(?:^|[^0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:$|[^0-9.]|\.(?:$|[^0-9]))`)
	reply    = regexp.MustCompile(`(?:^|[\s:;(])([245][0-5][0-9])(?:$|[\s\-;:,])`)
)

// enhancedCode is the first enhanced status code in a text, "" without one. Parts
// of IP addresses and version numbers are none.
func enhancedCode(text string) string {
	if found := enhanced.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// replyCode is the first SMTP reply code in a text, 0 without one.
func replyCode(text string) int {
	if found := reply.FindStringSubmatch(text); found != nil {
		code, _ := strconv.Atoi(found[1])
		return code
	}
	return 0
}

// typedValue is a field's value without its type (RFC 3464, section 2.1.2), as in
// "smtp; 550 5.1.1 unknown".
func typedValue(value string) string {
	kind, rest, found := strings.Cut(value, ";")
	if !found || strings.ContainsAny(strings.TrimSpace(kind), " \t") {
		return strings.TrimSpace(value)
	}
	return strings.TrimSpace(rest)
}

// typedAddress is the address of a field such as "rfc822; ada@example.com".
func typedAddress(value string) string {
	kind, _, found := strings.Cut(value, ";")
	address := unbracket(typedValue(value))
	if found && strings.EqualFold(strings.TrimSpace(kind), "utf-8") {
		address = decodeUTF8Address(address)
	}
	if !strings.Contains(address, "@") || len(address) > maxReportAddress {
		return ""
	}
	return reportLine(address)
}

var escaped = regexp.MustCompile(`\\x\{([0-9A-Fa-f]{2,6})\}`)

// decodeUTF8Address decodes the escapes of RFC 6533, section 3, as in "j\x{FC}rgen".
func decodeUTF8Address(s string) string {
	return escaped.ReplaceAllStringFunc(s, func(e string) string {
		code, err := strconv.ParseUint(e[3:len(e)-1], 16, 32)
		if err != nil || !utf8.ValidRune(rune(code)) {
			return e
		}
		return string(rune(code))
	})
}

var xtext = regexp.MustCompile(`\+[0-9A-F]{2}`)

// decodeXtext decodes the escapes of RFC 3461, section 4, as in "ada+2Bdesk".
func decodeXtext(s string) string {
	return xtext.ReplaceAllStringFunc(s, func(e string) string {
		code, _ := strconv.ParseUint(e[1:], 16, 8)
		return string([]byte{byte(code)})
	})
}

// unbracket is the value without angle brackets and what surrounds them.
func unbracket(value string) string {
	if _, after, ok := strings.Cut(value, "<"); ok {
		value, _, _ = strings.Cut(after, ">")
	}
	return strings.TrimSpace(value)
}

func firstWord(s string) string {
	if words := strings.Fields(s); len(words) > 0 {
		return words[0]
	}
	return ""
}

const (
	maxReportText    = 500  // bytes of a server's words
	maxReportAddress = 1000 // bytes of an address
	maxReported      = 100  // recipients of one report
)

// reportLine makes a text storable: valid UTF-8, no control characters, at most maxReportText
// bytes.
func reportLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxReportText {
		return s
	}
	cut := maxReportText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
