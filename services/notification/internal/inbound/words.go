package inbound

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
)

// encodedWord is one of RFC 2047, with the spaces that some programs leave in it.
var encodedWord = regexp.MustCompile(`=\?([A-Za-z0-9_.:()-]+)(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?\r\n]*)\?=`)

// decodeWords decodes the encoded words of a header's value. Neighbours of one
// character set are joined before they are decoded, since some programs cut
// characters in two.
func decodeWords(value string) string {
	var out strings.Builder
	var label string
	var pending []byte
	flush := func() {
		if pending != nil {
			out.WriteString(toUTF8(pending, label))
			pending = nil
		}
	}
	rest := value
	for {
		at := encodedWord.FindStringSubmatchIndex(rest)
		if at == nil {
			flush()
			out.WriteString(toUTF8([]byte(rest), ""))
			return out.String()
		}
		between, set := rest[:at[0]], strings.ToLower(rest[at[2]:at[3]])
		if pending == nil || strings.TrimSpace(between) != "" || set != label {
			if pending == nil || strings.TrimSpace(between) != "" {
				flush()
				out.WriteString(toUTF8([]byte(between), ""))
			} else {
				flush()
			}
			label = set
		}
		pending = append(pending, decodeWord(rest[at[4]:at[5]], rest[at[6]:at[7]])...)
		if pending == nil {
			pending = []byte{}
		}
		rest = rest[at[1]:]
	}
}

func decodeWord(kind, text string) []byte {
	if strings.EqualFold(kind, "B") {
		return decodeBase64([]byte(text))
	}
	return decodeQuoted([]byte(strings.ReplaceAll(text, "_", " ")))
}

// decodeBase64 decodes what is base64 and leaves out the rest, as mail programs do.
// Padding in the middle ends one text and begins the next.
func decodeBase64(data []byte) []byte {
	out := make([]byte, 0, len(data)*3/4)
	group := make([]byte, 0, 4)
	flush := func() {
		if len(group) > 1 {
			var decoded [3]byte
			if n, err := base64.RawStdEncoding.Decode(decoded[:], group); err == nil {
				out = append(out, decoded[:n]...)
			}
		}
		group = group[:0]
	}
	for _, c := range data {
		switch {
		case c == '=':
			flush()
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/':
			if group = append(group, c); len(group) == 4 {
				flush()
			}
		}
	}
	flush()
	return out
}

// decodeQuoted decodes quoted-printable. What is no valid escape stays as it is.
func decodeQuoted(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		if data[i] != '=' {
			out = append(out, data[i])
			continue
		}
		if i+2 < len(data) {
			high, low := unhex(data[i+1]), unhex(data[i+2])
			if high < 16 && low < 16 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		end := i + 1
		for end < len(data) && (data[end] == ' ' || data[end] == '\t' || data[end] == '\r') {
			end++
		}
		switch {
		case end < len(data) && data[end] == '\n':
			i = end
		case end == len(data): // a soft line break at the very end
			i = end
		default:
			out = append(out, '=')
		}
	}
	return out
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// toUTF8 converts text from the named character set. Without a known name it is
// UTF-8 if it can be, Windows-1252 otherwise. The result is UTF-8 without NUL.
func toUTF8(data []byte, label string) string {
	label = strings.ToLower(strings.Trim(strings.TrimSpace(label), `"'`))
	enc := lookup(label)
	switch {
	case enc != nil:
		if decoded, err := enc.NewDecoder().Bytes(data); err == nil {
			return clean(string(decoded))
		}
	case isUTF8(label), utf8.Valid(data):
	default:
		if decoded, err := charmap.Windows1252.NewDecoder().Bytes(data); err == nil {
			return clean(string(decoded))
		}
	}
	return clean(string(data))
}

func isUTF8(label string) bool {
	return label == "utf-8" || label == "utf8" || label == "unicode-1-1-utf-8"
}

// charsetNames are names that senders use and no registry has.
var charsetNames = map[string]string{
	"cp932": "shift_jis", "ms932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5",
	"ansi_x3.110-1983": "windows-1252", "iso-8859-8-i": "iso-8859-8", "latin-1": "iso-8859-1",
	"iso-8859-1-windows-3.1-latin-1": "windows-1252", "x-unknown": "", "unknown-8bit": "", "default": "",
	"us-ascii": "", "ascii": "", "utf-7": "utf-7", "unicode-1-1-utf-7": "utf-7",
}

// lookup finds a character set other than UTF-8; nil for none.
func lookup(label string) encoding.Encoding {
	if name, ok := charsetNames[label]; ok {
		label = name
	}
	if label == "" || isUTF8(label) {
		return nil
	}
	if enc, _ := charset.Lookup(label); enc != nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil && enc != nil {
		return enc
	}
	return nil
}
