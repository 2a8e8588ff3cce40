package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxFileName is the most bytes of a file's name on common file systems.
const maxFileName = 255

// FileName makes a name under which a file can be shown and saved anywhere of what
// somebody called it: the last part of a path, in Unicode NFC, at most 255 bytes of
// UTF-8, with its extension. Control characters, invisible characters and those
// that change the direction of text (Unicode property Bidi_Control) are removed,
// those that a file system refuses become _. It is "file" where nothing is left.
func FileName(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = norm.NFC.String(strings.Map(fileNameRune, s))
	s = strings.Trim(s, " .")
	if s == "" || !strings.ContainsFunc(s, func(r rune) bool { return !isInvisible(r) && r != '_' }) {
		return "file"
	}
	return cutFileName(s)
}

// fileNameRune returns the rune that stands for r in a file's name, -1 for none.
func fileNameRune(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !isLineRune(r) || changesDirection(r) || isHiddenInName(r):
		return -1
	case strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	}
	return r
}

// cutFileName cuts what stands before the extension, so that all fits.
func cutFileName(s string) string {
	if len(s) <= maxFileName {
		return s
	}
	extension := ""
	if i := strings.LastIndexByte(s, '.'); i > 0 && len(s)-i <= 20 {
		extension = s[i:]
	}
	end := maxFileName - len(extension)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimRight(s[:end], " .") + extension
}
