// Package text is the one policy for text that people type, in both services:
// Name for names of people, Line for titles and subjects, Prose for texts of
// several lines. Fold and Words make text comparable for search.
//
// It must not know HTTP or PostgreSQL.
package text

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The reasons for which a text is refused, as predicates of the field's name.
// None of them repeats the text.
var (
	ErrBlank     = errors.New("must not be blank")
	ErrInvisible = errors.New("must have visible characters")
	ErrEncoding  = errors.New("must be valid UTF-8")
	ErrLine      = errors.New("must be on one line, without control characters")
	ErrControl   = errors.New("must have no control characters but line breaks and tabs")
	ErrDirection = errors.New("must have no characters that change the direction of the text")
	ErrHidden    = errors.New("must have no invisible characters")
	ErrLink      = errors.New("must have no web or e-mail address; after an abbreviation, put a space behind the dot")
)

// Line cleans a text of one line: Unicode NFC, without white space at either
// end. It refuses control characters, line breaks, characters that change the
// direction of text (Unicode property Bidi_Control; UTR 36, section 2.7) and
// text without a visible character. The cleaned text has 1 to most characters
// (code points). The error is a message for the person who typed it.
func Line(s string, most int) (string, error) { return clean(s, most, isLineRune, ErrLine) }

// Prose is Line for a text of several lines: tabs are allowed, and line breaks
// of any kind become LF.
func Prose(s string, most int) (string, error) {
	s = lineBreaks.Replace(s)
	return clean(s, most, isProseRune, ErrControl)
}

var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n")

// Name is Line for the name of a person or an organisation. It also refuses
// what could be mistaken for another name or become a link in a mail: invisible
// characters other than joiners, web addresses and e-mail addresses.
func Name(s string, most int) (string, error) {
	s, err := Line(s, most)
	switch {
	case err != nil:
		return "", err
	case strings.ContainsFunc(s, isHiddenInName):
		return "", ErrHidden
	case links.MatchString(s):
		return "", ErrLink
	}
	return s, nil
}

// links matches what mail programs turn into links: a scheme, an e-mail
// address, a domain name whose last label but one has three or more characters,
// and a shorter domain name with a path. The dots are those of IDNA (UTS 46).
var links = regexp.MustCompile(`://|\S[@＠]\S|[\pL\pM\pN-]{3}[.。．｡][\pL\pM]{2}|[.。．｡][\pL\pM]{2,}/\S`)

func clean(s string, most int, allowed func(rune) bool, notAllowed error) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrEncoding
	}
	s = strings.TrimFunc(norm.NFC.String(strings.TrimFunc(s, isPadding)), isPadding)
	visible := false
	for _, r := range s {
		switch {
		case !allowed(r):
			return "", notAllowed
		case changesDirection(r):
			return "", ErrDirection
		}
		visible = visible || !isInvisible(r)
	}
	switch {
	case s == "":
		return "", ErrBlank
	case !visible:
		return "", ErrInvisible
	case utf8.RuneCountInString(s) > most:
		return "", fmt.Errorf("must have at most %d characters", most)
	}
	return s, nil
}

func isLineRune(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

func isProseRune(r rune) bool { return r == '\n' || r == '\t' || !unicode.Is(unicode.Cc, r) }

// isPadding reports whether r is removed at both ends: white space, and the
// characters without width that text copied from documents has there.
func isPadding(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u2060' || r == '\ufeff'
}

// changesDirection includes the deprecated format characters U+206A to U+206F.
func changesDirection(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r >= '\u206a' && r <= '\u206f'
}

// isInvisible reports whether r shows nothing by itself. A code point
// that is not assigned yet may be a new emoji, and counts as visible.
func isInvisible(r rune) bool {
	return unicode.IsSpace(r) || isIgnorable(r) || unicode.In(r, unicode.Z, unicode.M, unicode.Co) ||
		r == '\u2800' // braille pattern blank
}

func isIgnorable(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// isHiddenInName allows the joiners (Persian, Indic scripts, emoji), variation
// selectors and tags (emoji), and the format characters that have a glyph.
func isHiddenInName(r rune) bool {
	const zwnj, zwj = '\u200c', '\u200d'
	if r == zwnj || r == zwj || r >= '\U000e0020' && r <= '\U000e007f' {
		return false
	}
	return isIgnorable(r) && !unicode.In(r, unicode.Variation_Selector, unicode.Prepended_Concatenation_Mark) ||
		r == '\u2800'
}
