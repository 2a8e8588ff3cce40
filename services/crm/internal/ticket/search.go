package ticket

import (
	"strings"
	"unicode"
)

// words prepares a text for the search: letters, digits and what joins to them,
// in lower case, and spaces for all else. So a word is found wherever it stands
// (in a URL, an address, behind a slash), and the same in each locale of the
// database. Scripts that put no spaces between words are cut into characters.
func words(text string) string {
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

// prefixes turns typed text into a tsquery (PostgreSQL chapter 12.3.2): each
// typed word must be there, beginning as typed; where words cuts it into
// several, one behind the other. Quoted words are never operators. It is empty
// for a text without a letter or digit.
func prefixes(query string) string {
	var terms []string
	for typed := range strings.FieldsSeq(query) {
		if parts := strings.Fields(words(typed)); len(parts) > 0 {
			terms = append(terms, "('"+strings.Join(parts, "' <-> '")+"':*)")
		}
	}
	return strings.Join(terms, " & ")
}
