package inbound

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// fingerprint identifies a mail however often and on whichever way it arrives: its
// Message-ID and From, the hash of its body, and the addresses it was handed in for.
// The rest of the header is left out, since each server that passes a mail on adds
// to it. A mailbox is one address: a mail that is read again after the mailbox was
// rebuilt has the same fingerprint.
//
// A mail without Message-ID and Date can be one of several that are meant to be the
// same, as programs send them: it is recognised within the same hour of the clock
// alone.
func fingerprint(header []byte, body [sha256.Size]byte, to []string, now time.Time) []byte {
	id, date := field(header, "Message-ID"), field(header, "Date")
	parts := [][]byte{id, field(header, "From"), body[:]}
	switch {
	case header == nil: // too large to be read: the hash is of the whole mail
	case len(id) == 0 && len(date) == 0:
		parts = append(parts, binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/3600)), field(header, "Subject"))
	case len(id) == 0:
		parts = append(parts, date, field(header, "Subject"))
	}
	sorted := slices.Clone(to)
	for i, address := range sorted {
		sorted[i] = strings.ToLower(address)
	}
	slices.Sort(sorted)
	for _, address := range slices.Compact(sorted) {
		parts = append(parts, []byte(address))
	}
	hash := sha256.New()
	for _, part := range parts {
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = hash.Write(part)
	}
	return hash.Sum(nil)
}

// headerEnd is the length of the header with the empty line that ends it, -1 when
// that line is not among data.
func headerEnd(data []byte) int {
	for start := 0; start < len(data); {
		n := bytes.IndexByte(data[start:], '\n')
		if n < 0 {
			return -1
		}
		if n == 0 || n == 1 && data[start] == '\r' {
			return start + n + 1
		}
		start += n + 1
	}
	return -1
}

// field is the value of the first field of a header with that name, unfolded and
// trimmed; empty when there is none.
func field(header []byte, name string) []byte {
	var value []byte
	found := false
	for line := range bytes.Lines(header) {
		line = bytes.TrimRight(line, "\r\n")
		if found {
			if len(line) == 0 || line[0] != ' ' && line[0] != '\t' {
				break
			}
			value = append(append(value, ' '), bytes.TrimSpace(line)...)
			continue
		}
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			value, found = append(value, bytes.TrimSpace(line[len(name)+1:])...), true
		}
	}
	return bytes.TrimSpace(value)
}
