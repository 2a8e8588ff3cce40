package obs_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"fixdesk/pkg/obs"
)

// writes counts and keeps what is written.
type writes struct {
	mu   sync.Mutex
	text bytes.Buffer
	n    int
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return w.text.Write(b)
}

func (w *writes) read() (lines []string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSuffix(w.text.String(), "\n"), "\n"), w.n
}

func TestLinesAreWrittenTogetherInOrderAndNoneIsLost(t *testing.T) {
	var out writes
	lines := obs.NewLines(&out)
	const each, writers = 5000, 8
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for n := range each {
				fmt.Fprintf(lines, "%d %d %s\n", writer, n, strings.Repeat("x", 100))
			}
		})
	}
	all.Wait()
	if before, _ := out.read(); len(before) == writers*each {
		t.Log("every line was written before the flush: this run has no control")
	}
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	got, n := out.read()
	if len(got) != writers*each {
		t.Fatalf("%d lines of %d", len(got), writers*each)
	}
	if n > writers*each/10 {
		t.Errorf("%d writes", n)
	}
	next := [writers]int{}
	for _, line := range got {
		var writer, number int
		if _, err := fmt.Sscan(line, &writer, &number); err != nil || number != next[writer] {
			t.Fatalf("%q: want number %d: %v", line[:20], next[writer], err)
		}
		next[writer]++
	}
}

func TestLineIsWrittenSoonWithoutAFlush(t *testing.T) {
	written := make(chan string, 1)
	lines := obs.NewLines(writerFunc(func(b []byte) { written <- string(b) }))
	fmt.Fprintln(lines, "alone")
	if got := <-written; got != "alone\n" {
		t.Errorf("got %q", got)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func TestWarningIsWrittenAtOnceAfterTheLinesBefore(t *testing.T) {
	var out writes
	log := obs.NewLogger(obs.NewLines(&out), slog.LevelInfo, obs.JSON).With("service", "crm")
	log.Info("first")
	log.Warn("second")
	got, _ := out.read()
	if len(got) != 2 || !strings.Contains(got[0], "first") || !strings.Contains(got[1], "second") {
		t.Errorf("got %q", got)
	}
}
