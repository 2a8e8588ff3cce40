package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"fixdesk/pkg/errs"
)

// ETag is the strong entity tag of a version (RFC 9110, section 8.8.3). An answer
// with it is sent with entityTag, which adds what depends on the body.
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// fingerprintLength is how many bytes of the body's hash an entity tag has.
const fingerprintLength = 16

// fingerprint is a hash of a body for its entity tag.
func fingerprint(body []byte) string {
	sum := sha256.Sum256(body)
	var text [2 * fingerprintLength]byte
	hex.Encode(text[:], sum[:fingerprintLength])
	return string(text[:])
}

// entityTag is the strong entity tag of an answer: `"3-<fingerprint>"`, without
// the version if tag is "", and with the content coding at its end if there is one
// (RFC 9110, section 8.8.3.3). The version alone would be the same for viewers
// with different representations of it.
func entityTag(tag, fingerprint string, c coding) string {
	b := append(make([]byte, 0, 64), '"')
	if version := strings.Trim(tag, `"`); version != "" {
		b = append(append(b, version...), '-')
	}
	b = append(b, fingerprint...)
	if c != identity {
		b = append(append(b, '-'), c...)
	}
	return string(append(b, '"'))
}

// nextTag reads the first entity tag of a list and returns it without quotes, with
// what follows it. ok is false at what is not an entity tag.
func nextTag(list string) (tag, rest string, weak, ok bool) {
	list, weak = strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(list, `"`) {
		return "", "", false, false
	}
	tag, rest, ok = strings.Cut(list[1:], `"`)
	if !ok {
		return "", "", false, false
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest == "" {
		return tag, "", weak, true
	}
	rest, ok = strings.CutPrefix(rest, ",")
	return tag, strings.TrimLeft(rest, " \t"), weak, ok
}

// matchesAny reports whether the lines of an If-None-Match header (RFC 9110, section
// 13.1.2) have a tag that weakly equals tag, or are *. What is not well formed
// matches nothing, so that the client gets the whole answer.
func matchesAny(lines []string, tag string) bool {
	if len(lines) == 0 {
		return false
	}
	rest := lines[0]
	if len(lines) > 1 {
		rest = strings.Join(lines, ",")
	}
	if rest = strings.Trim(rest, " \t"); rest == "*" {
		return true
	}
	want := strings.Trim(tag, `"`)
	for rest != "" {
		if rest[0] == ',' { // an empty element (RFC 9110, section 5.6.1)
			rest = strings.TrimLeft(rest[1:], " \t")
			continue
		}
		sent, after, _, ok := nextTag(rest)
		if !ok {
			return false
		}
		if sent == want {
			return true
		}
		rest = after
	}
	return false
}

// IfMatch is a parsed If-Match header.
type IfMatch struct {
	any      bool
	versions []string
}

var errIfMatch = errs.Validation(errs.Field{
	Location: "header.If-Match", Message: `must be * or a list of entity tags such as "3"`,
})

// ParseIfMatch reads an If-Match header (RFC 9110, section 13.1.1); "" allows
// everything. Weak tags are read and never match.
func ParseIfMatch(header string) (IfMatch, error) {
	rest := strings.Trim(header, " \t")
	if rest == "" || rest == "*" {
		return IfMatch{any: true}, nil
	}
	var m IfMatch
	for {
		tag, after, weak, ok := nextTag(rest)
		if !ok {
			return IfMatch{}, errIfMatch
		}
		if !weak {
			version, _, _ := strings.Cut(tag, "-")
			m.versions = append(m.versions, version)
		}
		if after == "" {
			if strings.HasSuffix(rest, ",") {
				return IfMatch{}, errIfMatch
			}
			return m, nil
		}
		rest = after
	}
}

// Allows reports whether the resource in the given version may be changed. Only the
// version of a tag counts: what else its fingerprint covers, for example another
// person's name, is not changed by the request.
func (m IfMatch) Allows(version int64) bool {
	if m.any {
		return true
	}
	want := strconv.FormatInt(version, 10)
	for _, v := range m.versions {
		if v == want {
			return true
		}
	}
	return false
}
