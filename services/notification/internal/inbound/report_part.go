package inbound

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// The limits of what is read of a report. Real reports have few small parts before
// the returned mail.
const (
	maxHeaderFields = 1000
	maxHeaderBytes  = 256 << 10
	maxReportParts  = 50 // of one multipart
	maxDepth        = 5  // of multiparts in each other
	maxContent      = 1 << 20
	maxGroups       = 1000
)

// header is a mail's header: fields in order, names in lower case, values unfolded.
type header []reportField

type reportField struct{ name, value string }

// get is the first value of a field, "" without one.
func (h header) get(name string) string {
	for _, f := range h {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// parseHeader reads a header up to the first empty line. Unlike the standard
// library it skips lines that are no fields.
func parseHeader(raw []byte) (h header, body []byte) {
	read := 0
	for len(raw) > 0 && len(h) < maxHeaderFields && read < maxHeaderBytes {
		line, rest := cutLine(raw)
		raw, read = rest, read+len(line)
		if len(line) == 0 {
			break
		}
		if (line[0] == ' ' || line[0] == '\t') && len(h) > 0 {
			h[len(h)-1].value += " " + string(bytes.TrimSpace(line))
			continue
		}
		name, value, ok := strings.Cut(string(line), ":")
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || name == "" || strings.ContainsAny(name, " \t") {
			continue
		}
		h = append(h, reportField{name, strings.TrimSpace(value)})
	}
	return h, raw
}

// cutLine returns the first line without its end, and what follows.
func cutLine(raw []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(raw, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// fieldGroups reads groups of fields that empty lines separate (RFC 3464, section
// 2.1).
func fieldGroups(body []byte) []header {
	var groups []header
	for len(body) > 0 && len(groups) < maxGroups {
		var h header
		if h, body = parseHeader(body); len(h) > 0 {
			groups = append(groups, h)
		}
	}
	return groups
}

// part is one part of a mail, or the mail itself.
type part struct {
	header header
	media  string // in lower case; text/plain when it is not named or not readable
	params map[string]string
	body   []byte // as it was sent
	parts  []part // of a multipart
}

func parsePart(raw []byte) part { return parseNested(raw, 0) }

func parseNested(raw []byte, depth int) part {
	h, body := parseHeader(raw)
	p := part{header: h, body: body}
	p.media, p.params = mediaType(h.get("content-type"))
	boundary := p.params["boundary"]
	if !strings.HasPrefix(p.media, "multipart/") || boundary == "" || depth == maxDepth {
		return p
	}
	for _, content := range splitParts(body, boundary) {
		p.parts = append(p.parts, parseNested(content, depth+1))
	}
	return p
}

var looseBoundary = regexp.MustCompile(`(?i)boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))`)

// mediaType reads a Content-Type, also one whose parameters are broken.
func mediaType(value string) (media string, params map[string]string) {
	media, params, err := mime.ParseMediaType(value)
	if err == nil {
		return media, params
	}
	media, _, _ = strings.Cut(value, ";")
	if media = strings.ToLower(strings.TrimSpace(media)); !strings.Contains(media, "/") {
		media = "text/plain"
	}
	params = map[string]string{}
	if found := looseBoundary.FindStringSubmatch(value); found != nil {
		params["boundary"] = found[1] + found[2]
	}
	return media, params
}

// splitParts splits a multipart's body (RFC 2046, section 5.1). A missing last
// boundary ends with the body.
func splitParts(body []byte, boundary string) [][]byte {
	delimiter := []byte("--" + boundary)
	var parts [][]byte
	start, at := -1, 0
	for at < len(body) && len(parts) < maxReportParts {
		line, rest := cutLine(body[at:])
		next := len(body) - len(rest)
		if bytes.HasPrefix(line, delimiter) {
			after := bytes.TrimSpace(line[len(delimiter):])
			isLast := bytes.Equal(after, []byte("--"))
			if len(after) == 0 || isLast {
				if start >= 0 {
					parts = append(parts, body[start:at])
				}
				if start = next; isLast {
					return parts
				}
			}
		}
		at = next
	}
	if start >= 0 && start < len(body) && len(parts) < maxReportParts {
		parts = append(parts, body[start:])
	}
	return parts
}

// find is the first part of one of the media types, in the order of the mail. It
// doesn't look into attached mails.
func (p part) find(media ...string) (part, bool) {
	if slices.Contains(media, p.media) {
		return p, true
	}
	for _, child := range p.parts {
		if found, ok := child.find(media...); ok {
			return found, true
		}
	}
	return part{}, false
}

// content is the part's body, decoded from its transfer encoding, at most
// maxContent bytes of it. What can't be decoded is absent.
func (p part) content() []byte {
	body := p.body[:min(len(p.body), maxContent)]
	switch strings.ToLower(firstWord(p.header.get("content-transfer-encoding"))) {
	case "base64":
		decoded, _ := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
		return decoded
	case "quoted-printable":
		decoded, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
		return decoded
	}
	return body
}

// text is a text part's content in UTF-8 with plain line ends.
func (p part) text() string {
	content := p.content()
	if encoding, err := htmlindex.Get(p.params["charset"]); err == nil {
		if decoded, err := encoding.NewDecoder().Bytes(content); err == nil {
			content = decoded
		}
	}
	text := strings.ToValidUTF8(string(content), "�")
	return strings.ReplaceAll(text, "\r\n", "\n")
}
