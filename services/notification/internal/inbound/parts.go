package inbound

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html/charset"
)

var (
	multipartType = regexp.MustCompile(`(?im)^(?:content-type[ \t]*:|[ \t]+)[^\r\n]*multipart/`)
	boundaryParam = regexp.MustCompile(`(?i)boundary[ \t]*\*?[ \t]*=[ \t]*(?:"([^"\r\n]+)"|([^\s;"]+))`)
)

// multipartWork bounds the bytes of a mail times its multiparts, since each level of
// nesting reads all bytes within it once more.
const multipartWork = 512 << 20

// maxNesting bounds multiparts within multiparts: the time that enmime takes for those
// that are not closed doubles with each level.
const maxNesting = 10

// tooComplex is the reason why a mail would take too long to be taken apart, "" if
// it doesn't. It reads the bytes once.
func tooComplex(raw []byte) string {
	multiparts := len(multipartType.FindAllIndex(raw, maxMultiparts+1))
	if multiparts > maxMultiparts || multiparts > max(10, multipartWork/(len(raw)+1)) {
		return unparsedNested
	}
	if multiparts == 0 {
		return ""
	}
	boundaries := map[string]bool{}
	for _, m := range boundaryParam.FindAllSubmatch(raw, 2*maxMultiparts) {
		boundaries[string(append(m[1], m[2]...))] = true
	}
	parts := 0
	var open []string // the boundaries within which the line is
	for rest := raw; ; {
		at := bytes.Index(rest, []byte("\n--"))
		if at < 0 {
			return ""
		}
		rest = rest[at+3:]
		line, _, _ := bytes.Cut(rest[:min(len(rest), 200)], []byte("\n"))
		line = bytes.TrimSpace(line)
		boundary := string(line)
		if end := strings.TrimSuffix(boundary, "--"); !boundaries[boundary] && boundaries[end] {
			if i := slices.Index(open, end); i >= 0 {
				open = open[:i]
			}
			continue
		}
		if !boundaries[boundary] {
			continue
		}
		if parts++; parts > maxParts {
			return unparsedParts
		}
		if i := slices.Index(open, boundary); i >= 0 {
			open = open[:i+1]
		} else if open = append(open, boundary); len(open) > maxNesting {
			return unparsedNested
		}
	}
}

// fileName is the name that the sender gave a part, without folders.
func fileName(p *enmime.Part) string {
	name := extendedName(p.Header.Get("Content-Disposition"), "filename")
	if name == "" {
		name = extendedName(p.Header.Get("Content-Type"), "name")
	}
	if name == "" {
		name = p.FileName
	}
	name = oneLine(decodeWords(name))
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	return cut(name, 255)
}

var extendedParam = regexp.MustCompile(`(?i)(?:^|[;\s])(file)?name(\*[0-9]+)?(\*)?[ \t]*=[ \t]*(?:"([^"]*)"|([^;\s]*))`)

// extendedName reads a name of RFC 2231, also in pieces, "" when there is none. The
// standard library knows no character set but UTF-8.
func extendedName(value, param string) string {
	var data []byte
	label := ""
	for _, m := range extendedParam.FindAllStringSubmatch(value, 100) {
		if (m[1] != "") != (param == "filename") {
			continue
		}
		text := m[4] + m[5]
		if m[2]+m[3] == "" {
			continue
		}
		if m[3] == "" {
			data = append(data, text...)
			continue
		}
		if set, rest, ok := strings.Cut(text, "'"); ok && label == "" && len(data) == 0 {
			if _, encoded, ok := strings.Cut(rest, "'"); ok {
				label, text = set, encoded
			}
		}
		data = append(data, decodePercent(text)...)
	}
	return toUTF8(data, label)
}

func decodePercent(text string) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if high, low := unhex(text[i+1]), unhex(text[i+2]); high < 16 && low < 16 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// htmlText is HTML in UTF-8. Without a character set in the part's header, the one
// that the HTML names is used.
func htmlText(data []byte, label string) string {
	if label == "" {
		_, label, _ = charset.DetermineEncoding(data[:min(len(data), 1024)], "")
	}
	return lines(toUTF8(data, label))
}
