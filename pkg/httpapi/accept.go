package httpapi

import (
	"strconv"
	"strings"
)

// accepts reports whether an Accept header allows contentType (RFC 9110, section
// 12.5.1); no header and an empty one allow everything. goautoneg is weaker: it accepts what has
// q=0 and ignores which range is the most specific.
func accepts(accept []string, contentType string) bool {
	if len(accept) == 0 {
		return true
	}
	header := accept[0]
	if len(accept) > 1 {
		header = strings.Join(accept, ",")
	}
	return header == "" || header == "*/*" || header == contentType || quality(header, contentType) > 0
}

// quality is the weight of the most specific range that covers offer, 0 if
// none does.
func quality(header, offer string) float64 {
	q, specific := 0.0, -1
	for part := range strings.SplitSeq(header, ",") {
		media, params, _ := strings.Cut(part, ";")
		s := specificity(strings.ToLower(strings.TrimSpace(media)), offer)
		if s > specific {
			q, specific = weight(params), s
		}
	}
	return q
}

// specificity is how closely a media range matches offer; -1 is not at all.
func specificity(media, offer string) int {
	group, _, _ := strings.Cut(offer, "/")
	switch media {
	case offer:
		return 2
	case group + "/*":
		return 1
	case "*/*":
		return 0
	}
	return -1
}

// weight reads the parameter q, 1 without one and 0 when it makes no sense.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(param), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
