package inbound

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"io"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/mediatype"

	"fixdesk/pkg/notifyapi"
)

// Rules are what the reading of a mail depends on besides its bytes.
type Rules struct {
	// AuthservID is the name of the mail server whose Authentication-Results are
	// read (RFC 8601, section 2.2); "" reads none.
	AuthservID string
}

// Parse reads a mail. It never fails: what can't be taken apart has Unparsed set, and
// what its header says.
func (r Rules) Parse(raw []byte, envelopeFrom string) notifyapi.InboundContent {
	m := r.parse(raw, envelopeFrom)
	return m.content
}

// parsed is a mail with the bytes of its attachments.
type parsed struct {
	content notifyapi.InboundContent
	files   [][]byte
}

func (r Rules) parse(raw []byte, envelopeFrom string) parsed {
	end := headerEnd(raw)
	if end < 0 {
		end = len(raw)
	}
	if end > maxHeader {
		p := parsed{content: r.header(nil, "", envelopeFrom)}
		p.content.Unparsed = new(unparsedHeader)
		return p
	}
	if reason := tooComplex(raw); reason != "" {
		return r.headerOnly(raw[:end], envelopeFrom, reason)
	}
	root, err := mailParser.ReadParts(bytes.NewReader(raw))
	if err != nil {
		root, err = mailParser.ReadParts(io.MultiReader(bytes.NewReader(mended(raw[:end])), bytes.NewReader(raw[end:])))
	}
	if err != nil {
		return r.headerOnly(raw[:end], envelopeFrom, unparsedBroken)
	}
	p := parsed{content: r.header(root.Header, root.ContentType, envelopeFrom)}
	w := walker{}
	w.walk(root)
	if len(w.segments) == 0 && len(w.files) == 0 && strings.HasPrefix(root.ContentType, "multipart/") {
		w.add(segment{text: lines(toUTF8(raw[end:], "")), hasText: true}) // no line is its boundary
	}
	p.content.Text, p.content.HTML = w.body()
	if len(p.content.Text) > maxText || len(p.content.HTML) > maxText {
		p.content.Text, p.content.HTML = cut(p.content.Text, maxText), cut(p.content.HTML, maxText)
		p.content.Truncated = true
	}
	p.content.Attachments, p.files = w.attachments, w.files
	return p
}

// headerOnly reads nothing but the header.
func (r Rules) headerOnly(header []byte, envelopeFrom, reason string) parsed {
	var fields textproto.MIMEHeader
	contentType := ""
	if root, err := mailParser.ReadParts(bytes.NewReader(mended(header))); err == nil {
		fields, contentType = root.Header, root.ContentType
	}
	p := parsed{content: r.header(fields, contentType, envelopeFrom)}
	p.content.Unparsed = &reason
	return p
}

// mended is a header without the lines that are no fields, with an empty line at its
// end.
func mended(header []byte) []byte {
	out := make([]byte, 0, len(header)+4)
	kept := false
	for line := range bytes.Lines(header) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			if !kept {
				continue
			}
		} else if name, _, ok := bytes.Cut(line, []byte(":")); ok && isToken(string(bytes.TrimRight(name, " \t"))) {
			kept = true
		} else {
			kept = false
			continue
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// mailParser takes mails apart. Transfer encodings and character sets are decoded here,
// since enmime would convert attached text files too.
var mailParser = enmime.NewParser(
	enmime.RawContent(true), enmime.SkipMalformedParts(true), enmime.MultipartWOBoundaryAsSinglePart(true),
	enmime.MaxStoredPartErrors(10), enmime.SetCustomParseMediaType(parseMediaType),
)

// parseMediaType reads a type that is not well formed as far as it can, so that its
// part isn't lost.
func parseMediaType(value string) (string, map[string]string, []string, error) {
	kind, params, invalid, err := mediatype.Parse(value)
	if err == nil || strings.TrimSpace(value) == "" {
		return kind, params, invalid, err
	}
	kind, _, _ = strings.Cut(value, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "attachment" || kind == "inline" {
		return kind, nil, nil, nil
	}
	if main, sub, ok := strings.Cut(kind, "/"); !ok || !isToken(main) || !isToken(sub) || main == "multipart" {
		kind = "application/octet-stream"
	}
	return kind, nil, nil, nil
}

// isToken reports whether s is a token of RFC 2045, section 5.1.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// header reads what the header says.
func (r Rules) header(h textproto.MIMEHeader, contentType, envelopeFrom string) notifyapi.InboundContent {
	c := notifyapi.InboundContent{
		ReplyTo: addresses(h, "Reply-To"), To: addresses(h, "To"), CC: addresses(h, "Cc"),
		Subject: oneLine(decodeWords(h.Get("Subject"))), MessageID: messageID(h),
		InReplyTo: messageIDs(h.Get("In-Reply-To")), References: messageIDs(strings.Join(h.Values("References"), " ")),
		Attachments: []notifyapi.InboundAttachment{}, Authentication: authentication(h, r.AuthservID),
		ListID: word(h, "List-Id"), Precedence: word(h, "Precedence"), AutoSubmitted: keyword(h, "Auto-Submitted"),
		NoAutoReply: wantsNoAutoReply(h),
	}
	if from := addresses(h, "From"); len(from) > 0 {
		c.From = &from[0]
	} else if sender := addresses(h, "Sender"); len(sender) > 0 {
		c.From = &sender[0]
	}
	if date, err := mail.ParseDate(h.Get("Date")); err == nil && date.Year() >= 1 && date.Year() < 10000 {
		date = date.UTC()
		if date.Year() >= 1 && date.Year() < 10000 {
			c.Date = &date
		}
	}
	c.Automatic = automatic(h, contentType, envelopeFrom, c)
	return c
}

// addresses reads all fields of a name; there should be one.
func addresses(h textproto.MIMEHeader, name string) []notifyapi.MailAddress {
	return addressList(strings.Join(h.Values(name), ", "))
}

func messageID(h textproto.MIMEHeader) string {
	if ids := messageIDs(h.Get("Message-Id")); len(ids) > 0 {
		return ids[0]
	}
	return cut(oneLine(clean(h.Get("Message-Id"))), maxLine)
}

// word is a header's value in one line in lower case; nil without it.
func word(h textproto.MIMEHeader, name string) *string {
	if len(h.Values(name)) == 0 {
		return nil
	}
	return new(strings.ToLower(oneLine(decodeWords(h.Get(name)))))
}

// keyword is a header's value without its parameters and comments.
func keyword(h textproto.MIMEHeader, name string) *string {
	value := word(h, name)
	if value != nil {
		if end := strings.IndexAny(*value, "; ("); end >= 0 {
			*value = (*value)[:end]
		}
	}
	return value
}

// walker collects the text and the files of a mail.
type walker struct {
	segments    []segment
	attachments []notifyapi.InboundAttachment
	files       [][]byte
}

// segment is a piece of the mail's text, as plain text, as HTML, or as both.
type segment struct {
	text, html       string
	hasText, hasHTML bool
}

func (w *walker) walk(p *enmime.Part) {
	if p.FirstChild == nil {
		w.leaf(p)
		return
	}
	first := len(w.segments)
	for child := p.FirstChild; child != nil; child = child.NextSibling {
		w.walk(child)
	}
	if p.ContentType == "multipart/alternative" {
		w.segments = append(w.segments[:first], oneOf(w.segments[first:])...)
	}
}

// oneOf makes one segment of those that say the same in different forms.
func oneOf(segments []segment) []segment {
	var both segment
	for _, s := range segments {
		if s.hasText {
			both.text, both.hasText = joinText(both.text, s.text), true
		}
		if s.hasHTML {
			both.html, both.hasHTML = joinText(both.html, s.html), true
		}
	}
	if !both.hasText && !both.hasHTML {
		return nil
	}
	return []segment{both}
}

func joinText(a, b string) string {
	if a == "" || b == "" || strings.HasSuffix(a, "\n") {
		return a + b
	}
	return a + "\n" + b
}

func (w *walker) leaf(p *enmime.Part) {
	if strings.HasPrefix(p.ContentType, "multipart/") && len(bytes.TrimSpace(p.Content)) == 0 {
		return // one without parts
	}
	data := decodeTransfer(p)
	isHTML := p.ContentType == "text/html"
	// A multipart here is one without a boundary.
	isText := p.ContentType == "text/plain" || p.ContentType == "" || p.ContentType == "text" || strings.HasPrefix(p.ContentType, "multipart/")
	isFile := p.Disposition == "attachment" || fileName(p) != "" && len(w.segments) > 0
	switch {
	case isText && !isFile:
		w.add(segment{text: unflowed(lines(toUTF8(data, p.Charset)), p), hasText: true})
	case isHTML && !isFile:
		w.add(segment{html: htmlText(data, p.Charset), hasHTML: true})
	case p.ContentType == "application/ms-tnef" || strings.EqualFold(fileName(p), "winmail.dat"):
		w.tnef(p, data)
	default:
		w.file(fileName(p), p.ContentType, p.ContentID, p.Disposition, data)
	}
}

func (w *walker) add(s segment) { w.segments = append(w.segments, s) }

func (w *walker) file(name, kind, id, disposition string, data []byte) {
	sum := sha256.Sum256(data)
	if kind == "" {
		kind = "application/octet-stream"
	}
	id = cut(clean(id), maxLine)
	w.attachments = append(w.attachments, notifyapi.InboundAttachment{
		Filename: name, MediaType: cut(clean(strings.ToLower(kind)), 255), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]),
		ContentID: id, Inline: disposition == "inline" || id != "" && disposition != "attachment",
	})
	w.files = append(w.files, data)
}

// body makes the whole text and the whole HTML of the segments. A form in which some
// segment lacks is empty, save that plain segments are put among HTML: each form has
// all that the sender wrote, or nothing.
func (w *walker) body() (text, htmlText string) {
	allText, anyHTML := true, false
	for _, s := range w.segments {
		allText = allText && (s.hasText || strings.TrimSpace(s.html) == "")
		anyHTML = anyHTML || s.hasHTML
	}
	for _, s := range w.segments {
		if allText {
			text = joinText(text, s.text)
		}
		switch {
		case s.hasHTML:
			htmlText = joinText(htmlText, s.html)
		case anyHTML:
			htmlText = joinText(htmlText, "<pre>"+html.EscapeString(s.text)+"</pre>")
		}
	}
	return text, htmlText
}

// lines has line feeds alone at the ends of lines.
func lines(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

func decodeTransfer(p *enmime.Part) []byte {
	encoding := p.Header.Get("Content-Transfer-Encoding")
	encoding, _, _ = strings.Cut(encoding, ";")
	switch strings.ToLower(strings.Trim(strings.TrimSpace(encoding), `"'`)) {
	case "base64":
		return decodeBase64(p.Content)
	case "quoted-printable":
		return decodeQuoted(p.Content)
	}
	return p.Content
}
