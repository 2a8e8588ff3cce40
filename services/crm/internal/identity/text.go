package identity

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"fixdesk/pkg/text"
)

// Lengths in characters.
const (
	maxNameLength      = 200
	maxReasonLength    = 1000
	maxUserAgentLength = 500
)

func cleanName(s string) (string, error) { return text.Name(s, maxNameLength) }

// cleanReason allows an empty text.
func cleanReason(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", nil
	}
	return text.Prose(s, maxReasonLength)
}

// cleanUserAgent removes characters that must not be stored or shown.
func cleanUserAgent(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || r == '\uFEFF' || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxUserAgentLength {
		s = string(r[:maxUserAgentLength])
	}
	return s
}

// fold makes text comparable without case. The database does not do so, since its
// result for letters beyond ASCII depends on its locale.
func fold(s string) string { return strings.ToLower(s) }

// searchText is the text in which users are searched.
func searchText(name, email string) string { return fold(name) + "\n" + fold(email) }
