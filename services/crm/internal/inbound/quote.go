package inbound

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cutReply returns the new text of an answer: without the quoted mail, the signature
// and the line of a phone that follow it. Answers between quoted lines keep the
// quotes. What is not certain stays: ours reports whether a line names the service
// (its domain, a subject of its mails), and a quote without ">" is recognised by
// that alone. The result is empty when there is no new text.
func cutReply(text string, ours func(line string) bool) string {
	c := cutter{lines: strings.Split(normalise(text), "\n"), ours: ours}
	c.cutUnmarked()
	c.cutSignature()
	c.cutTrailing()
	c.cutLeading()
	c.cutPhone()
	return strings.TrimSpace(strings.Join(c.lines, "\n"))
}

// normalise makes one kind of line break and removes white space at the ends of
// lines, save that of a signature's separator.
func normalise(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\ufeff", "").Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l != signature {
			lines[i] = strings.TrimRightFunc(l, unicode.IsSpace)
		}
	}
	return strings.Join(lines, "\n")
}

// signature separates the signature (RFC 3676, section 4.3).
const signature = "-- "

type cutter struct {
	lines []string
	ours  func(string) bool
}

func isQuoted(line string) bool {
	return strings.HasPrefix(strings.TrimLeft(line, " \t\u00a0"), ">")
}

func isBlank(line string) bool { return strings.TrimFunc(line, isInvisible) == "" }

func isInvisible(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// bare is a line without what mail programs put around it: bold marks of converted
// HTML, direction marks.
func bare(line string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		if r == '\u00a0' || r == '\u202f' {
			return ' '
		}
		return r
	}, line), " \t*_")
}

// cutUnmarked removes a quoted mail that has no ">" and goes to the end: it begins
// with the headers of the mail, or with a line that says who wrote, and that names the
// service.
func (c *cutter) cutUnmarked() {
	for i := range c.lines {
		if isQuoted(c.lines[i]) || isBlank(c.lines[i]) {
			continue
		}
		if n := c.headers(i); n > 0 && c.isOurs(i, n) || c.isOurAttribution(i) {
			if c.answersBelow(i) {
				return
			}
			c.lines = c.lines[:c.beforeSeparator(i)]
			return
		}
	}
}

// answersBelow reports whether the text above line i is short and says that the answers
// are within the quoted mail.
func (c *cutter) answersBelow(i int) bool {
	above := strings.Join(c.lines[:i], " ")
	return utf8.RuneCountInString(above) <= 300 && belowWords.MatchString(above)
}

func (c *cutter) isOurs(from, n int) bool {
	return slices.ContainsFunc(c.lines[from:min(from+n, len(c.lines))], c.ours)
}

// headers is the number of lines of the mail headers at i, 0 if there are none: at
// least three different ones, of which one says from whom.
func (c *cutter) headers(i int) int {
	seen, at := map[headerName]bool{}, i
	for ; at < len(c.lines) && at < i+maxHeaders; at++ {
		name, ok := headerOf(c.lines[at])
		if !ok {
			if at == i {
				return 0
			}
			if isBlank(c.lines[at]) || len(seen) == 0 {
				break
			}
			continue // a header that goes on, or another one
		}
		seen[name] = true
	}
	if !seen[headerFrom] || len(seen) < 3 {
		return 0
	}
	return at - i
}

// maxHeaders is how many lines the headers of a quoted mail take at most.
const maxHeaders = 12

// headerOf returns which header a line such as "Gesendet: Montag" or "*From:* Ada" is.
func headerOf(line string) (headerName, bool) {
	label, _, ok := cutColon(bare(line))
	if !ok || utf8.RuneCountInString(label) > 24 {
		return "", false
	}
	name, ok := headerNames[strings.ToLower(strings.Trim(label, " \t*"))]
	return name, ok
}

func cutColon(s string) (before, after string, ok bool) {
	i := strings.IndexAny(s, ":：")
	if i < 0 {
		return "", "", false
	}
	_, size := utf8.DecodeRuneInString(s[i:])
	return s[:i], s[i+size:], true
}

// beforeSeparator is the index of the line that separates the quoted mail which begins
// at i, or i when there is none: "-----Original Message-----" or a rule.
func (c *cutter) beforeSeparator(i int) int {
	at := i
	for n := 0; at > 0 && n < 2 && isBlank(c.lines[at-1]); n++ {
		at--
	}
	if at > 0 && isSeparator(c.lines[at-1]) {
		return at - 1
	}
	return i
}

var separator = regexp.MustCompile(`^\s*(?:[-_=]{8,}|[-_=]{3,}.{0,60}?[-_=]{3,})\s*$`)

func isSeparator(line string) bool { return separator.MatchString(line) }

// isOurAttribution reports whether the lines at i, after an empty one, say that the
// service wrote at some time.
func (c *cutter) isOurAttribution(i int) bool {
	if i > 0 && !isBlank(c.lines[i-1]) && !isSeparator(c.lines[i-1]) {
		return false
	}
	if m := attributionHead.FindString(c.lines[i]); c.ours(m) && isAttribution(strings.TrimSpace(m)) && namesWriter(m) {
		return true
	}
	for n := 1; n <= maxAttribution && i+n <= len(c.lines); n++ {
		if isBlank(c.lines[i+n-1]) {
			return false
		}
		if joined := strings.Join(c.lines[i:i+n], " "); c.ours(joined) && isAttribution(joined) && namesWriter(joined) {
			return !c.quoteFollows(i+n) && (n == 1 || !isAttribution(strings.Join(c.lines[i+1:i+n], " ")))
		}
	}
	return false
}

func (c *cutter) quoteFollows(i int) bool {
	for i < len(c.lines) && isBlank(c.lines[i]) {
		i++
	}
	return i < len(c.lines) && isQuoted(c.lines[i])
}

// maxAttribution is how many lines an attribution is wrapped to at most.
const maxAttribution = 4

// attributionHead matches the beginning of a line with an attribution that the quoted
// text follows in the same line, after several spaces.
var attributionHead = regexp.MustCompile(`^.{1,300}?[:：] {2,}`)

var (
	// dates match what attributions have of a date: a year, a time, or day and month.
	dates     = regexp.MustCompile(`(?:19|20)\d\d|\d{1,2}[:.：]\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{2}|[۰-۹٠-٩]{2,}`)
	bracketed = regexp.MustCompile(`[<(\[][^<>()\[\]]*@[^<>()\[\]]*[>)\]]`)
	mails     = regexp.MustCompile(`[^\s<>()\[\]]@[^\s<>()\[\]]`)
)

// isAttribution reports whether a line says who wrote what follows, and when: "On Mon,
// 12 Jan 2026 at 10:30, Ada <ada@example.com> wrote:".
func isAttribution(line string) bool {
	line = bare(line)
	if utf8.RuneCountInString(line) > 400 || !dates.MatchString(line) {
		return false
	}
	last, _ := utf8.DecodeLastRuneInString(line)
	ends := last == ':' || last == '：'
	return ends && (mails.MatchString(line) || says(line)) || says(line) && mails.MatchString(line) && endsWithSays(line)
}

// isUndated reports whether a line says who wrote what follows, as programs do that
// leave out when: "Quoting Ada <ada@example.com>:".
func isUndated(line string) bool {
	line = bare(line)
	return utf8.RuneCountInString(line) <= 200 && strings.HasSuffix(line, ":") && mails.MatchString(line) && (says(line) || quotesWords.MatchString(line))
}

// namesWriter reports whether an attribution has an address as programs write one: in
// brackets, or before its "wrote". In a person's own sentence it is otherwise: "On Monday
// at 10:30 I wrote to support@example.com:".
func namesWriter(line string) bool {
	return bracketed.MatchString(line) || endsWithSays(bare(line))
}

func says(line string) bool { return saysWords.MatchString(line) }

func endsWithSays(line string) bool {
	loc := saysWords.FindAllStringIndex(line, -1)
	return len(loc) > 0 && loc[len(loc)-1][1] >= len(line)-4
}

// attributionBefore is the index of the first line of the attribution above a quote
// that begins at q; ok is false when there is none.
func (c *cutter) attributionBefore(q int) (at int, ok bool) {
	end := q
	for n := 0; end > 0 && n < 2 && isBlank(c.lines[end-1]); n++ {
		end--
	}
	for n := 1; n <= maxAttribution && end-n >= 0; n++ {
		if l := c.lines[end-n]; isBlank(l) || isQuoted(l) {
			return q, false
		}
		if joined := strings.Join(c.lines[end-n:end], " "); isAttribution(joined) || c.ours(joined) && isUndated(joined) {
			return c.attributionStart(end-n, end), true
		}
	}
	return q, false
}

// headersBefore is the index of the separator above the lines that name the service
// and stand above a quote which begins at q; q when there is none. It finds headers
// without colons, too.
func (c *cutter) headersBefore(q int) int {
	end := q
	for n := 0; end > 0 && n < 2 && isBlank(c.lines[end-1]); n++ {
		end--
	}
	for at := end - 1; at >= 0 && end-at <= maxHeaders && !isBlank(c.lines[at]); at-- {
		if isSeparator(c.lines[at]) && c.isOurs(at, end-at) {
			return at
		}
	}
	return q
}

// attributionWithin reports whether the attribution is in the first quoted lines, where
// phones put it.
func (c *cutter) attributionWithin(q int) bool {
	first := ""
	for n := 0; n < maxAttribution && q+n < len(c.lines) && isQuoted(c.lines[q+n]); n++ {
		first += " " + strings.TrimLeft(c.lines[q+n], "> ")
		if isAttribution(first) {
			return true
		}
	}
	return false
}

// attributionStart includes the line above one that goes on from it: the date of a
// wrapped attribution may be on two lines.
func (c *cutter) attributionStart(at, end int) int {
	for at > 0 && end-at < maxAttribution && !isBlank(c.lines[at-1]) && !isQuoted(c.lines[at-1]) && attributionBegins.MatchString(bare(c.lines[at-1])) &&
		!attributionBegins.MatchString(bare(c.lines[at])) {
		at--
	}
	return at
}

// cutTrailing removes the quote at the end with the line above it that says who wrote.
func (c *cutter) cutTrailing() {
	end := len(c.lines)
	for end > 0 && isBlank(c.lines[end-1]) {
		end--
	}
	q := end
	for q > 0 && (isQuoted(c.lines[q-1]) || isBlank(c.lines[q-1])) {
		q--
	}
	for q < end && isBlank(c.lines[q]) {
		q++
	}
	if q == end {
		return
	}
	at, ok := c.attributionBefore(q)
	if !ok {
		at = c.headersBefore(q)
	}
	c.lines = c.lines[:c.beforeSeparator(at)]
}

// cutLeading removes a quote above the whole answer, if a line says who wrote it and
// nothing else is quoted.
func (c *cutter) cutLeading() {
	q := slices.IndexFunc(c.lines, isQuoted)
	if q < 0 {
		return
	}
	at, ok := c.attributionBefore(q)
	if !ok && !c.attributionWithin(q) || slices.ContainsFunc(c.lines[:at], func(l string) bool { return !isBlank(l) }) {
		return
	}
	end := q
	for end < len(c.lines) && (isQuoted(c.lines[end]) || isBlank(c.lines[end])) {
		end++
	}
	if !slices.ContainsFunc(c.lines[end:], isQuoted) {
		c.lines = c.lines[end:]
	}
}

// The longest signatures, in lines that are not empty. Without the blank of the standard,
// the separator may be a person's own dashes.
const (
	maxSignature     = 12
	maxBareSignature = 6
)

// cutSignature removes the signature, up to the quote that may follow it.
func (c *cutter) cutSignature() {
	for i, l := range c.lines {
		most := 0
		switch {
		case l == signature:
			most = maxSignature
		case strings.TrimRight(l, " \u00a0") == "--":
			most = maxBareSignature
		default:
			continue
		}
		end, n := i+1, 0
		for ; end < len(c.lines) && !isQuoted(c.lines[end]); end++ {
			if !isBlank(c.lines[end]) {
				n++
			}
		}
		if end < len(c.lines) {
			if at, ok := c.attributionBefore(end); ok && at > i {
				n -= c.count(at, end)
				end = at
			}
		}
		onlyQuotes := !slices.ContainsFunc(c.lines[end:], func(l string) bool { return !isQuoted(l) && !isBlank(l) }) ||
			c.isTrailingQuote(end)
		if n <= most && onlyQuotes && c.count(0, i) > 0 {
			c.lines = slices.Concat(c.lines[:i], []string{""}, c.lines[end:])
			return
		}
	}
}

// isTrailingQuote reports whether an attribution and its quote at i go to the end.
func (c *cutter) isTrailingQuote(i int) bool {
	q := i
	for q < len(c.lines) && !isQuoted(c.lines[q]) {
		q++
	}
	return q-i <= maxAttribution+2 && !slices.ContainsFunc(c.lines[q:], func(l string) bool { return !isQuoted(l) && !isBlank(l) })
}

// count is the number of lines that are not empty.
func (c *cutter) count(from, to int) (n int) {
	for _, l := range c.lines[from:to] {
		if !isBlank(l) {
			n++
		}
	}
	return n
}

// cutPhone removes the last line if a phone or an app wrote it: "Sent from my iPhone".
func (c *cutter) cutPhone() {
	for {
		end := len(c.lines)
		for end > 0 && (isBlank(c.lines[end-1]) || strings.TrimSpace(c.lines[end-1]) == "--") {
			end--
		}
		if end == 0 || c.count(0, end-1) == 0 || !isPhoneLine(c.lines[end-1]) {
			return
		}
		c.lines = c.lines[:end-1]
	}
}

func isPhoneLine(line string) bool {
	line = bare(line)
	return utf8.RuneCountInString(line) <= 120 && phoneBegins.MatchString(line) && phoneDevice.MatchString(line)
}
