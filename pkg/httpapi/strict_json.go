package httpapi

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

const (
	maxJSONDepth = 64
	// linearKeys is the number of keys of one object above which a map is used to
	// find repeated ones.
	linearKeys = 16
)

// Reasons for refusing a text as JSON, as sentences for people.
var (
	errJSONSyntax    = errors.New("The body is not valid JSON.")
	errJSONTrailing  = errors.New("The body has more than one JSON value.")
	errJSONDepth     = errors.New("The body is nested deeper than 64 levels.")
	errJSONDuplicate = errors.New("The body repeats a field of the same object.")
	errJSONUTF8      = errors.New("The body is not valid UTF-8.")
	errJSONNUL       = errors.New("The body has a NUL character.")
	errJSONSurrogate = errors.New("The body has half of a UTF-16 surrogate pair.")
	errJSONNumber    = errors.New("The body has a number out of range.")
)

// checkJSON refuses what encoding/json accepts although RFC 8259 forbids it or
// doesn't define its meaning: duplicate keys, invalid UTF-8, lone surrogates. It
// refuses NUL, which PostgreSQL can't store. It also bounds depth and numbers (float64).
// hasNull reports whether there is a null in it.
func checkJSON(data []byte) (hasNull bool, err error) {
	if !utf8.Valid(data) {
		return false, errJSONUTF8
	}
	s := jsonScanner{data: data}
	if err := s.value(0); err != nil {
		return false, err
	}
	s.space()
	if s.pos < len(data) {
		return false, errJSONTrailing
	}
	return s.hasNull, nil
}

type jsonScanner struct {
	data    []byte
	pos     int
	hasNull bool
}

func (s *jsonScanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (s *jsonScanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *jsonScanner) value(depth int) error {
	s.space()
	switch s.peek() {
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		s.hasNull = true
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *jsonScanner) literal(word string) error {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return errJSONSyntax
	}
	s.pos += len(word)
	return nil
}

func (s *jsonScanner) array(depth int) error {
	if depth > maxJSONDepth {
		return errJSONDepth
	}
	s.pos++
	if s.space(); s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return errJSONSyntax
		}
	}
}

func (s *jsonScanner) object(depth int) error {
	if depth > maxJSONDepth {
		return errJSONDepth
	}
	s.pos++
	if s.space(); s.peek() == '}' {
		s.pos++
		return nil
	}
	var seen keySet
	for {
		if s.space(); s.peek() != '"' {
			return errJSONSyntax
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if !seen.add(key) {
			return errJSONDuplicate
		}
		if s.space(); s.peek() != ':' {
			return errJSONSyntax
		}
		s.pos++
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return errJSONSyntax
		}
	}
}

// text reads a string and returns it unescaped; without escapes it is a subslice of
// the data.
func (s *jsonScanner) text() ([]byte, error) {
	s.pos++
	start := s.pos
	var unescaped []byte
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			plain := s.data[start:s.pos]
			s.pos++
			if unescaped == nil {
				return plain, nil
			}
			return append(unescaped, plain...), nil
		case c == 0:
			return nil, errJSONNUL
		case c < 0x20:
			return nil, errJSONSyntax
		case c == '\\':
			unescaped = append(unescaped, s.data[start:s.pos]...)
			r, err := s.escape()
			if err != nil {
				return nil, err
			}
			unescaped = utf8.AppendRune(unescaped, r)
			start = s.pos
		default:
			s.pos++
		}
	}
	return nil, errJSONSyntax
}

// escapes are the two-character escapes of RFC 8259, section 7.
var escapes = map[byte]rune{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (s *jsonScanner) escape() (rune, error) {
	s.pos++
	c := s.peek()
	s.pos++
	if c != 'u' {
		r, ok := escapes[c]
		if !ok {
			return 0, errJSONSyntax
		}
		return r, nil
	}
	high, err := s.hex()
	switch {
	case err != nil:
		return 0, err
	case high == 0:
		return 0, errJSONNUL
	case high < 0xD800 || high > 0xDFFF:
		return high, nil
	case high > 0xDBFF || s.literal(`\u`) != nil:
		return 0, errJSONSurrogate
	}
	low, err := s.hex()
	if err != nil {
		return 0, err
	}
	if low < 0xDC00 || low > 0xDFFF {
		return 0, errJSONSurrogate
	}
	return 0x10000 + (high-0xD800)<<10 + (low - 0xDC00), nil
}

func (s *jsonScanner) hex() (rune, error) {
	if len(s.data)-s.pos < 4 {
		return 0, errJSONSyntax
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errJSONSyntax
		}
		r = r<<4 | rune(c)
	}
	s.pos += 4
	return r, nil
}

func (s *jsonScanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

func (s *jsonScanner) number() error {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		if s.pos < len(s.data) && s.data[s.pos] == 0 {
			return errJSONNUL
		}
		return errJSONSyntax
	}
	if s.peek() == '.' {
		if s.pos++; !s.digits() {
			return errJSONSyntax
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return errJSONSyntax
		}
	}
	if _, err := strconv.ParseFloat(string(s.data[start:s.pos]), 64); err != nil {
		return errJSONNumber
	}
	return nil
}

// keySet finds repeated keys without allocating for small objects.
type keySet struct {
	few  [linearKeys][]byte
	n    int
	many map[string]struct{}
}

// add reports whether key is new.
func (k *keySet) add(key []byte) bool {
	if k.n < linearKeys {
		for _, have := range k.few[:k.n] {
			if bytes.Equal(have, key) {
				return false
			}
		}
		k.few[k.n] = key
		k.n++
		return true
	}
	if k.many == nil {
		k.many = make(map[string]struct{}, 4*linearKeys)
		for _, have := range k.few {
			k.many[string(have)] = struct{}{}
		}
	}
	_, found := k.many[string(key)]
	k.many[string(key)] = struct{}{}
	return !found
}
