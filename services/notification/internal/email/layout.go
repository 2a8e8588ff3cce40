package email

import (
	"bytes"
	"strings"
	"sync"
)

// layout is what the mails of one notification have in common, with places for what
// each has of its own.
type layout struct {
	pieces [][]byte // one more than places
	places []place
	size   int // in bytes
}

// place is something that differs between the mails of a notification.
type place int

const (
	placeTo place = iota
	placeMessageID
	placeInReplyTo
	placeReferences
	placeBoundary
)

// ownHeaders are the headers of a mail's own.
var ownHeaders = map[string]place{
	"To": placeTo, "Message-ID": placeMessageID, "In-Reply-To": placeInReplyTo, "References": placeReferences,
}

// newLayout makes the layout from one mail, whose address is to in angle brackets. It
// returns nil when the layout does not make that very mail again.
func newLayout(m Mail, to string, content []byte) *layout {
	l := &layout{size: len(content)}
	header, _, ok := bytes.Cut(content, []byte("\r\n\r\n"))
	if !ok {
		return nil
	}
	piece := []byte{}
	for rest := content[:len(header)+2]; len(rest) > 0; {
		field := rest[:fieldLength(rest)]
		rest = rest[len(field):]
		name, _, _ := bytes.Cut(field, []byte(":"))
		if own, ok := ownHeaders[string(name)]; ok {
			l.pieces, l.places = append(l.pieces, piece), append(l.places, own)
			piece = []byte{}
			continue
		}
		piece = l.cut(piece, field, m)
	}
	l.pieces = append(l.pieces, l.cut(piece, content[len(header)+2:], m))
	if !bytes.Equal(l.fill(nil, m, to), content) {
		return nil
	}
	return l
}

// cut adds text to the piece, and ends a piece at each boundary.
func (l *layout) cut(piece, text []byte, m Mail) []byte {
	for {
		before, after, found := bytes.Cut(text, []byte(m.boundary()))
		piece = append(piece, before...)
		if !found {
			return piece
		}
		l.pieces, l.places = append(l.pieces, piece), append(l.places, placeBoundary)
		piece, text = []byte{}, after
	}
}

// fieldLength is the length of the first field of a header, its folded lines included.
func fieldLength(header []byte) int {
	for n := 0; ; {
		end := bytes.Index(header[n:], []byte("\r\n"))
		if end < 0 {
			return len(header)
		}
		n += end + 2
		if n == len(header) || header[n] != ' ' && header[n] != '\t' {
			return n
		}
	}
}

// fill makes a mail, in a buffer where that is large enough.
func (l *layout) fill(buffer []byte, m Mail, to string) []byte {
	b := bytes.NewBuffer(buffer[:0])
	b.Grow(l.size + 256)
	for i, at := range l.places {
		b.Write(l.pieces[i])
		switch at {
		case placeTo:
			writeFolded(b, "To", to)
		case placeMessageID:
			writeFolded(b, "Message-ID", "<"+m.MessageID()+">")
		case placeInReplyTo:
			writeFolded(b, "In-Reply-To", "<"+m.threadRoot()+">")
		case placeReferences:
			writeFolded(b, "References", "<"+m.threadRoot()+">")
		case placeBoundary:
			b.WriteString(m.boundary())
		}
	}
	b.Write(l.pieces[len(l.places)])
	return b.Bytes()
}

// maxLayoutBytes bounds the memory of the layouts that are kept.
const maxLayoutBytes = 2 << 20

// common is all that determines a layout besides the sender's settings.
type common struct {
	subject, text, html, thread, replyTo, unsubscribe, requestID, domain string
	date                                                                 int64
}

// layouts keeps the layouts of the notifications with several recipients whose mails
// are being sent. It is safe for concurrent use.
type layouts struct {
	mu    sync.Mutex
	kept  map[common]*layout
	bytes int
}

// key returns the key of a mail; false when it has no layout: it is its notification's
// only one, it has files, which take memory, it is signed, which takes the whole mail,
// or its address may be folded.
func (l *layouts) key(s Sender, m Mail, to string) (common, bool) {
	if !m.Shared || len(m.Attachments) > 0 || s.DKIM != nil || strings.Contains(to, " ") {
		return common{}, false
	}
	return common{m.Subject, m.Text, m.HTML, m.Thread, m.ReplyTo, m.Unsubscribe, m.RequestID, m.Domain, m.Date.UnixNano()}, true
}

// fill makes a mail from its layout, in a buffer where that is large enough; nil when
// there is none.
func (l *layouts) fill(buffer []byte, s Sender, m Mail, to string) []byte {
	key, ok := l.key(s, m, to)
	if !ok {
		return nil
	}
	l.mu.Lock()
	kept := l.kept[key]
	l.mu.Unlock()
	if kept == nil {
		return nil
	}
	return kept.fill(buffer, m, to)
}

// add keeps the layout of a mail, and forgets others when they take much memory.
func (l *layouts) add(s Sender, m Mail, to string, content []byte) {
	key, ok := l.key(s, m, to)
	if !ok {
		return
	}
	made := newLayout(m, to, content)
	if made == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[common]*layout{}
	}
	l.remove(key)
	for old := range l.kept {
		if l.bytes+made.size <= maxLayoutBytes {
			break
		}
		l.remove(old)
	}
	l.kept[key] = made
	l.bytes += made.size
}

func (l *layouts) remove(key common) {
	if old := l.kept[key]; old != nil {
		l.bytes -= old.size
		delete(l.kept, key)
	}
}
