package inbound

import (
	"strings"

	"github.com/jhillyerd/enmime/v2"
)

// unflowed joins the lines of a part with format=flowed that its sender's program
// wrapped, and removes the spaces that it stuffed (RFC 3676, section 4). The text of
// other parts stays as it is.
func unflowed(text string, p *enmime.Part) string {
	_, params, _, err := parseMediaType(p.Header.Get("Content-Type"))
	if err != nil || !strings.EqualFold(params["format"], "flowed") {
		return text
	}
	deleteSpace := strings.EqualFold(params["delsp"], "yes")
	var out strings.Builder
	flows, depth := false, 0 // of the line before
	for i, line := range strings.Split(text, "\n") {
		rest := strings.TrimLeft(line, ">")
		quotes := len(line) - len(rest)
		rest = strings.TrimPrefix(rest, " ")
		isSignature := rest == "-- "
		switch {
		case flows && quotes == depth && !isSignature: // it goes on
		case i > 0:
			out.WriteByte('\n')
			fallthrough
		default:
			out.WriteString(line[:quotes])
			if quotes > 0 && rest != "" {
				out.WriteByte(' ')
			}
		}
		flows, depth = strings.HasSuffix(rest, " ") && !isSignature, quotes
		if flows && deleteSpace {
			rest = strings.TrimSuffix(rest, " ")
		}
		out.WriteString(rest)
	}
	return out.String()
}
