package httpapi

import (
	"slices"
	"strings"
)

// coding is a content coding (RFC 9110, section 8.4.1); identity is none.
type coding string

const (
	identity coding = ""
	gzipped  coding = "gzip"
	zstdded  coding = "zstd"
)

// choice is the coding of an answer. always says that it applies to small answers
// too, since the client refuses identity.
type choice struct {
	coding coding
	always bool
}

// of is the coding of an answer of size bytes.
func (c choice) of(size int) coding {
	if size <= compressFrom && !c.always {
		return identity
	}
	return c.coding
}

// negotiate returns what the lines of an Accept-Encoding header prefer (RFC 9110,
// section 12.5.3): identity or one of the offered codings, gzip and zstd. ok is false
// when none of them is acceptable. Of equal weights compression is preferred, and zstd
// only if it is named.
func negotiate(lines []string, offered ...coding) (_ choice, ok bool) {
	if len(lines) == 0 {
		return choice{}, true
	}
	header := lines[0]
	if len(lines) > 1 {
		header = strings.Join(lines, ",")
	}
	w := readWeights(header)
	best, q := identity, w.of(w.identity)
	if w.identity < 0 && w.rest < 0 {
		q = leastWeight // acceptable, since it isn't excluded
	}
	refused := q == 0
	if zipped := w.of(w.gzip); slices.Contains(offered, gzipped) && zipped > 0 && zipped >= q {
		best, q = gzipped, zipped
	}
	if packed := w.of(w.zstd); slices.Contains(offered, zstdded) && (packed > q || packed > 0 && packed == q && w.zstd > 0) {
		best, q = zstdded, packed
	}
	return choice{best, refused}, q > 0
}

// leastWeight is less than any weight that a header can have, save 0.
const leastWeight = 0.0001

// weights are those of the codings in an Accept-Encoding header, -1 for one that is
// not listed; rest is that of *.
type weights struct{ gzip, zstd, identity, rest float64 }

func readWeights(header string) weights {
	w := weights{-1, -1, -1, -1}
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			w.gzip = weight(params)
		case "zstd":
			w.zstd = weight(params)
		case "identity":
			w.identity = weight(params)
		case "*":
			w.rest = weight(params)
		}
	}
	return w
}

// of returns the weight of a coding, which is that of * if it is not listed.
func (w weights) of(listed float64) float64 {
	if listed < 0 {
		return max(w.rest, 0)
	}
	return listed
}
