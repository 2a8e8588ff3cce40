package httpapi

import (
	"strconv"
	"strings"

	"fixdesk/pkg/errs"
)

// ETag is the strong entity tag of a version (RFC 9110, section 8.8.3).
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// IfMatch is a parsed If-Match header.
type IfMatch struct {
	any  bool
	tags []string
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
		var weak bool
		rest, weak = strings.CutPrefix(rest, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return IfMatch{}, errIfMatch
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return IfMatch{}, errIfMatch
		}
		if !weak {
			m.tags = append(m.tags, rest[:end+2])
		}
		rest = strings.TrimLeft(rest[end+2:], " \t")
		if rest == "" {
			return m, nil
		}
		if rest[0] != ',' {
			return IfMatch{}, errIfMatch
		}
		rest = strings.TrimLeft(rest[1:], " \t")
	}
}

// Allows reports whether the resource in the given version may be changed.
func (m IfMatch) Allows(version int64) bool {
	if m.any {
		return true
	}
	tag := ETag(version)
	for _, t := range m.tags {
		if t == tag {
			return true
		}
	}
	return false
}
