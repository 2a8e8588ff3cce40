package notice

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lineLimit, in characters, is more than any name, title or address may have.
const lineLimit = 300

// line makes s safe within a line of a mail or its subject: one line of at most
// lineLimit characters, without control characters and without those that change
// the reading direction (Unicode TR 36, section 2.7).
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff':
			return -1
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return shorten(strings.Join(strings.Fields(s), " "), lineLimit)
}

// block does the same for a text of several lines: it keeps line breaks and tabs.
func block(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(s)
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff':
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// shorten cuts s to at most limit characters, at a space when one is near, and
// never between a character and the marks that belong to it.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	runes := []rune(s)
	cut := limit - 1
	for cut > 0 && belongsToPrevious(runes[cut]) || cut > 0 && runes[cut-1] == '\u200d' {
		cut--
	}
	for i := cut; i > cut-20 && i > 0; i-- {
		if runes[i] == ' ' {
			cut = i
			break
		}
	}
	return strings.TrimRight(string(runes[:cut]), " ") + "…"
}

func belongsToPrevious(r rune) bool {
	return unicode.Is(unicode.M, r) || r == '\u200d' || r >= '\U0001f3fb' && r <= '\U0001f3ff'
}

// words turns a name of the API into a phrase: "in_progress" becomes "in
// progress".
func words(s string) string {
	return strings.ReplaceAll(line(s), "_", " ")
}

func capitalised(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
