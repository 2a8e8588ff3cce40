// Package address defines what an e-mail address is, and its canonical form, for
// everything in both services that takes one: an address accepted at
// registration can be mailed, and two spellings are one account and one
// recipient. It must not know HTTP or SMTP.
package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits in octets: RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.3 (a path of 256
// with its angle brackets), and RFC 1035, section 2.3.4.
const (
	MaxLength = 254
	maxLocal  = 64
	maxLabel  = 63
)

// ErrInvalid is in the chain of every error of Parse.
var ErrInvalid = errors.New("must be an e-mail address such as name@example.com")

// atext are the characters besides letters and digits that RFC 5322, section
// 3.2.3 allows in an atom.
const atext = "!#$%&'*+-/=?^_`{|}~"

// profile is IDNA2008 (RFC 5891) with the mapping of UTS 46, not transitional:
// "ß" stays itself, as registries and browsers have it.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.CheckHyphens(true), idna.CheckJoiners(true), idna.BidiRule(), idna.VerifyDNSLength(true))

// Parse checks s and returns its canonical form, to store and compare: lower
// case, the mailbox name in Unicode NFC, the domain in ASCII (xn-- labels of
// IDNA2008). It takes a mailbox name that is a dot-atom (RFC 5322), with UTF-8
// letters (RFC 6531), at a domain name of two or more labels in any spelling.
//
// It refuses what standards allow and mail systems misread: display names,
// angle brackets, comments, lists, quoted names, address literals such as
// [127.0.0.1], bare IPv4 addresses, single-label domains, a trailing dot. It
// refuses control, formatting and white-space characters anywhere. The error
// never repeats s.
func Parse(s string) (string, error) {
	if len(s) > 4*MaxLength || !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: at most %d octets of UTF-8", ErrInvalid, MaxLength)
	}
	if strings.ContainsFunc(s, becomesASCII) {
		return "", fmt.Errorf("%w: it has a look-alike of a plain letter", ErrInvalid)
	}
	s = norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
	if len(s) > MaxLength {
		return "", fmt.Errorf("%w: at most %d octets", ErrInvalid, MaxLength)
	}
	local, domain, found := strings.Cut(s, "@")
	switch {
	case !found:
		return "", fmt.Errorf("%w: there is no @", ErrInvalid)
	case !isDotAtom(local):
		return "", fmt.Errorf("%w: the part before the @ is not valid", ErrInvalid)
	}
	ascii, ok := asciiDomain(domain)
	switch s = local + "@" + ascii; {
	case !ok:
		return "", fmt.Errorf("%w: the part after the @ is not a domain name", ErrInvalid)
	case len(s) > MaxLength:
		return "", fmt.Errorf("%w: at most %d octets", ErrInvalid, MaxLength)
	}
	return s, nil
}

// Unicode returns a canonical address with its domain in the spelling that
// people read, for display and search. It returns what isn't canonical as it is.
func Unicode(canonical string) string {
	local, domain, found := strings.Cut(canonical, "@")
	if !found || !strings.Contains(domain, "xn--") {
		return canonical
	}
	readable, err := profile.ToUnicode(domain)
	if err != nil {
		return canonical
	}
	return local + "@" + readable
}

// asciiDomain checks the domain before IDNA's mapping, which would accept more
// characters, and after it, which may have made others of them.
func asciiDomain(domain string) (ascii string, ok bool) {
	if !isDomain(domain) {
		return "", false
	}
	ascii, err := profile.ToASCII(domain)
	return ascii, err == nil && isDomain(ascii)
}

// becomesASCII reports whether r becomes an ASCII character in the stored form,
// as the dotted capital I and the Kelvin sign do: two people's addresses must
// not become one.
func becomesASCII(r rune) bool {
	return r >= utf8.RuneSelf &&
		(unicode.ToLower(r) < utf8.RuneSelf || norm.NFC.String(string(r))[0] < utf8.RuneSelf)
}

func isDotAtom(s string) bool {
	if s == "" || len(s) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			if !isAtomRune(r) {
				return false
			}
		}
	}
	return true
}

func isAtomRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(atext, r)
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	// No top-level domain is a number; what ends in one is an IPv4 address.
	last := labels[len(labels)-1]
	return strings.IndexFunc(last, func(r rune) bool { return !unicode.IsDigit(r) }) >= 0
}

// isLabel follows RFC 5890, section 2.3.1: letters, digits and hyphens, no
// hyphen at either end, and at places 3 and 4 only in xn--.
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	if len(s) > 3 && s[2:4] == "--" && !strings.HasPrefix(s, "xn--") {
		return false
	}
	for i, r := range s {
		if !isLabelRune(r) && (i == 0 || r < utf8.RuneSelf || !unicode.Is(unicode.M, r)) {
			return false
		}
	}
	return true
}

func isLabelRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-'
	}
	return unicode.In(r, unicode.L, unicode.Nd)
}
