package httpapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Appender is a body that appends its own JSON, the bytes that encoding/json would write
// without escaping HTML. It is for the answers that are asked for most: reflection costs
// four times as much.
type Appender interface {
	AppendJSON(b []byte) []byte
}

// marshal writes v and a line break.
func marshal(w io.Writer, v any) error {
	a, ok := v.(Appender)
	buffer, buffered := w.(*answer)
	if !ok || !buffered {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	_, err := buffer.body.Write(append(a.AppendJSON(buffer.body.AvailableBuffer()), '\n'))
	return err
}

// AppendAny appends v as encoding/json writes it, without escaping HTML.
func AppendAny(b []byte, v any) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // as json.NewEncoder's user would: the types of answers can be encoded
	}
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// AppendString appends s as a JSON string.
func AppendString[S ~string](b []byte, s S) []byte {
	b = append(b, '"')
	begin := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendEscape(append(b, s[begin:i]...), c)
			i++
			begin = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:]))
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[begin:i]...), `\ufffd`...)
			begin = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			b = append(append(b, s[begin:i]...), `\u202`...)
			b = append(b, "0123456789abcdef"[r&0xf])
			begin = i + size
		}
		i += size
	}
	return append(append(b, s[begin:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return hex.AppendEncode(append(b, `\u00`...), []byte{c})
}

// AppendStringOrNull appends a string; null for nil.
func AppendStringOrNull[S ~string](b []byte, s *S) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return AppendString(b, *s)
}

// AppendUUID appends an id.
func AppendUUID(b []byte, id uuid.UUID) []byte {
	b = append(b, '"')
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			b = append(b, '-')
		}
		begin := [...]int{0, 4, 6, 8, 10}[i]
		b = hex.AppendEncode(b, id[begin:end])
	}
	return append(b, '"')
}

// AppendJSON appends the time as MarshalJSON has it.
func (t Time) AppendJSON(b []byte) []byte {
	utc := t.UTC()
	year, month, day := utc.Date()
	if year < 1000 || year > 9999 {
		return utc.AppendFormat(b, `"`+timeLayout+`"`)
	}
	hour, minute, second := utc.Clock()
	b = strconv.AppendInt(append(b, '"'), int64(year), 10)
	b = append2(append(b, '-'), int(month))
	b = append2(append(b, '-'), day)
	b = append2(append(b, 'T'), hour)
	b = append2(append(b, ':'), minute)
	b = append2(append(b, ':'), second)
	micros := utc.Nanosecond() / int(time.Microsecond)
	b = append2(append(b, '.'), micros/10000)
	b = append2(b, micros/100%100)
	b = append2(b, micros%100)
	return append(b, `Z"`...)
}

// append2 appends a number of two digits.
func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// AppendJSON appends the value or null. A value that is no Appender is appended by
// reflection.
func (n Nullable[T]) AppendJSON(b []byte) []byte {
	if n.Value == nil {
		return append(b, "null"...)
	}
	if a, ok := any(n.Value).(Appender); ok {
		return a.AppendJSON(b)
	}
	return AppendAny(b, n.Value)
}

// AppendJSON appends the page. Items that are no Appenders are appended by reflection.
func (p Page[T]) AppendJSON(b []byte) []byte {
	b = append(b, `{"items":`...)
	b = appendItems(b, p.Items)
	if p.NextCursor != "" {
		b = AppendString(append(b, `,"next_cursor":`...), p.NextCursor)
	}
	return append(b, '}')
}

func appendItems[T any](b []byte, items []T) []byte {
	if _, ok := any(new(T)).(Appender); !ok || items == nil {
		return AppendAny(b, items)
	}
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = any(&items[i]).(Appender).AppendJSON(b)
	}
	return append(b, ']')
}
