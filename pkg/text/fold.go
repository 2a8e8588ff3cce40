package text

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold makes text comparable for search: full case folding (Unicode, section
// 3.13), compatibility decomposition, and no accents, so that "cafe" equals
// "Café" and "strasse" equals "Straße". Letters with a stroke and ligatures
// become plain letters ("ø" is "o", "æ" is "ae"). Marks that are part of a
// script's letters (Indic vowels, Japanese voicing) stay, emoji stay without
// their variation selector. Text and search must both be folded.
func Fold(s string) string {
	if isFoldedASCII(s) {
		return s
	}
	// Folding returns capitals for Cherokee letters, so lower case comes after it.
	folded := strings.ToLower(cases.Fold().String(norm.NFKD.String(strings.ToValidUTF8(s, "\ufffd"))))
	var b strings.Builder
	b.Grow(len(folded))
	for _, r := range norm.NFKD.String(folded) {
		if isAccent(r) {
			continue
		}
		if plain, ok := plainLetters[r]; ok {
			b.WriteString(plain)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

func isFoldedASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// isAccent reports whether r is a mark for letters of any script; the marks of
// one script have that script instead of Inherited.
func isAccent(r rune) bool {
	const voiced, semiVoiced = '\u3099', '\u309a'
	return unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Inherited, r) && r != voiced && r != semiVoiced
}

// plainLetters are the folded letters that Unicode doesn't decompose.
var plainLetters = map[rune]string{
	'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'ħ': "h", 'ŧ': "t", 'ı': "i", 'ŋ': "n",
	'æ': "ae", 'œ': "oe", 'þ': "th",
}

// Words returns the folded words of a text, in their order, with one space
// between them, in a form that PostgreSQL's parser reads as words in every
// locale: letters, digits and marks. All other characters separate words, so a
// word is found inside of an address or a path. Scripts that put no spaces
// between words are cut into characters. An emoji or other symbol is a word of
// its own, "u" and its code point: "😀" is "u1f600"; its skin tone and joiners
// are left out.
func Words(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	separate := false
	write := func(word string, alone bool) {
		if (separate || alone) && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		separate = alone
	}
	for _, r := range Fold(s) {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
			write(string(r), !unicode.IsMark(r))
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			write(string(r), false)
		case isSymbolWord(r):
			write(fmt.Sprintf("u%x", r), true)
		case r != '\u200d' && r != '\u200c':
			separate = true
		}
	}
	return b.String()
}

// isSymbolWord takes Unicode's other symbols, where the emoji are, and the
// flags; not skin tones, nor ASCII signs such as + and =.
func isSymbolWord(r rune) bool { return unicode.Is(unicode.So, r) }
