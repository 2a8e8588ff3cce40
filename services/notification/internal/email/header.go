package email

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// lineWidth is how long a line of the header should be at most, in octets
	// (RFC 2047 section 2; RFC 5322 section 2.1.1 allows two more).
	lineWidth = 76
	// wordWidth is how long an encoded word is at most, so that one fits on the
	// line with the name of its header.
	wordWidth = 64
)

// headerText is text for an unstructured header: as it is when it is printable
// ASCII, else in encoded words (RFC 2047), each of whole characters.
func headerText(s string) string {
	if isPlain(s) {
		return s
	}
	method, encode := "q", qEncoded
	if len(qEncoded(s)) > base64.StdEncoding.EncodedLen(len(s)) {
		method, encode = "b", bEncoded
	}
	word := func(chunk string) string { return "=?utf-8?" + method + "?" + encode(chunk) + "?=" }
	var words []string
	chunk := ""
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		if len(word(chunk+string(r))) > wordWidth {
			words = append(words, word(chunk))
			chunk = ""
		}
		chunk += string(r)
	}
	return strings.Join(append(words, word(chunk)), " ")
}

// isPlain reports whether s needs no encoded word. Text that looks like one needs
// it, since it would be read as what it encodes, and so do spaces that parsers
// drop or that a fold would.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return !strings.Contains(s, "=?") && !strings.Contains(s, "  ") && strings.TrimSpace(s) == s
}

// qEncoded is the Q encoding (RFC 2047 section 4.2).
func qEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b.WriteByte('_')
		case c > ' ' && c <= '~' && c != '=' && c != '?' && c != '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// bEncoded is the B encoding (RFC 2047 section 4.1).
func bEncoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// folded returns the message with each header folded anew (RFC 5322 section
// 2.2.3): at spaces only, and never between the name and the value, since some
// parsers then return the value with a leading space. go-mail folds there, and
// folds its DKIM-Signature within names, which verifiers reject. The relaxed
// canonicalization, in which mails are signed, doesn't see the difference.
func folded(message []byte) []byte {
	end := bytes.Index(message, []byte("\r\n\r\n"))
	if end < 0 {
		return message
	}
	var b bytes.Buffer
	b.Grow(len(message) + 256)
	header := ""
	flush := func() {
		if name, value, ok := strings.Cut(header, ":"); ok {
			writeFolded(&b, name, strings.TrimSpace(value))
		}
	}
	for line := range strings.SplitSeq(string(message[:end]), "\r\n") {
		switch {
		case !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t"):
			flush()
			header = line
		case strings.HasPrefix(header, "DKIM-Signature:"):
			header += line[1:] // go-mail adds the space
		default:
			header += line
		}
	}
	flush()
	b.Write(message[end+2:])
	return b.Bytes()
}

// writeFolded writes one header. A word that is longer than a line stays whole.
func writeFolded(b *bytes.Buffer, name, value string) {
	if before, signature, ok := strings.Cut(value, "; b="); ok && name == "DKIM-Signature" {
		value = before + "; b=" + spaced(signature)
	}
	b.WriteString(name)
	b.WriteString(":")
	length := len(name) + 1
	for i, word := range strings.Split(value, " ") {
		if i > 0 && length+1+len(word) > lineWidth {
			b.WriteString("\r\n")
			length = 0
		}
		b.WriteString(" ")
		b.WriteString(word)
		length += 1 + len(word)
	}
	b.WriteString("\r\n")
}

// spaced splits a signature into words of less than a line. Space within it has
// no meaning (RFC 6376 section 3.5).
func spaced(signature string) string {
	const word = 72
	var parts []string
	for len(signature) > word {
		parts = append(parts, signature[:word])
		signature = signature[word:]
	}
	return strings.Join(append(parts, signature), " ")
}
