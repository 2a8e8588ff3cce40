package obs

import (
	"io"
	"sync"
	"time"
)

const (
	// linesDelay is for how long a line waits for others at most.
	linesDelay = 50 * time.Millisecond
	// linesMost is how many bytes wait at most; who writes more waits for the writer.
	linesMost = 1 << 20
)

// Lines writes log lines together, at most 50 ms after they were logged, so that a
// request doesn't wait for the log. No line is lost while the process ends by itself
// and calls Flush; a killed one loses those of the last 50 ms. It is safe for
// concurrent use.
type Lines struct {
	to io.Writer

	mu      sync.Mutex
	waiting []byte
	pending bool // a flush will come

	writing sync.Mutex // keeps the order
	spare   []byte     // the buffer of the write before
}

// NewLines writes to w. A logger of NewLogger flushes it after each warning and error.
func NewLines(w io.Writer) *Lines { return &Lines{to: w} }

// Write takes one or more whole lines. Its error is nil: see Flush.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	l.waiting = append(l.waiting, line...)
	first, full := !l.pending, len(l.waiting) > linesMost
	l.pending = true
	l.mu.Unlock()
	if full {
		return len(line), l.Flush()
	}
	if first {
		time.AfterFunc(linesDelay, func() { _ = l.Flush() })
	}
	return len(line), nil
}

// Flush writes what waits, after what is being written, and returns the writer's error.
func (l *Lines) Flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	lines := l.waiting
	l.waiting, l.pending = l.spare[:0], false
	l.mu.Unlock()
	l.spare = lines
	if len(lines) == 0 {
		return nil
	}
	_, err := l.to.Write(lines)
	return err
}
