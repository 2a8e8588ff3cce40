package identity

import (
	_ "embed" // the list of common passwords
	"errors"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Lengths of a password, in characters (NIST SP 800-63B section 5.1.1.2; OWASP
// ASVS 2.1.1 and 2.1.2). The upper bound limits the time of a hash.
const (
	minPasswordLength = 8
	maxPasswordLength = 128
)

var (
	errPasswordLength  = errors.New("must have 8 to 128 characters")
	errPasswordControl = errors.New("must have no control characters")
	errPasswordCommon  = errors.New("must not be a common password")
	errPasswordOwn     = errors.New("must not be your own name or address")
)

//go:embed common_passwords.txt
var commonPasswordList string

var commonPasswords = sync.OnceValue(func() map[string]struct{} {
	lines := strings.Fields(commonPasswordList)
	set := make(map[string]struct{}, len(lines))
	for _, line := range lines {
		set[line] = struct{}{}
	}
	return set
})

// checkPassword returns an error for an invalid new password. It must be long enough
// and not a common one; there are no rules on its composition.
func checkPassword(password, name, email string) error {
	if n := utf8.RuneCountInString(password); n < minPasswordLength || n > maxPasswordLength || !utf8.ValidString(password) {
		return errPasswordLength
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return errPasswordControl
	}
	folded := fold(password)
	if _, ok := commonPasswords()[folded]; ok || isOneCharacter(folded) {
		return errPasswordCommon
	}
	local, _, _ := strings.Cut(email, "@")
	if own := strings.TrimSpace(folded); own == fold(email) || own == fold(local) || own == fold(strings.TrimSpace(name)) {
		return errPasswordOwn
	}
	return nil
}

func isOneCharacter(s string) bool {
	first, size := utf8.DecodeRuneInString(s)
	return strings.Trim(s[size:], string(first)) == ""
}
