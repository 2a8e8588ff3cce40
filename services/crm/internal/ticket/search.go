package ticket

import (
	"strings"
	"unicode"
)

// SearchWords prepares a text for the search: letters, digits and what joins to them,
// in lower case, and spaces for all else. So a word is found wherever it stands
// (in a URL, an address, behind a slash), and the same in each locale of the
// database. Scripts that put no spaces between words are cut into characters.
func SearchWords(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
