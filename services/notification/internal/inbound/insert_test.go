package inbound

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/notifyapi"
)

// cutConn is a connection to the database that loses the next answer while cut is set:
// all of it, or the confirmation of the commit alone.
type cutConn struct {
	net.Conn
	cut *atomic.Int32
}

const (
	cutAnswer  = 1
	cutConfirm = 2
)

// confirmation is what PostgreSQL sends after the commit (ReadyForQuery).
var confirmation = []byte{'Z', 0, 0, 0, 5, 'I'}

func (c cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err != nil:
		return n, err
	case c.cut.CompareAndSwap(cutAnswer, 0):
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	case bytes.HasSuffix(p[:n], confirmation) && c.cut.CompareAndSwap(cutConfirm, 0):
		_ = c.Conn.Close()
		return n - len(confirmation), nil
	}
	return n, nil
}

// withCuts makes the service's connections lose answers.
func withCuts(t *testing.T, s *Service) *atomic.Int32 {
	t.Helper()
	cut := new(atomic.Int32)
	config := s.DB.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return cutConn{conn, cut}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.DB, s.inserter.db = pool, pool
	return cut
}

// atEnd calls do when all was read.
type atEnd struct {
	io.Reader
	do func()
}

func (r atEnd) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.do()
	}
	return n, err
}

// A mail whose commit was not answered may be stored. Its bytes are kept, so that the
// mail is whole when its sender's server sends it again and gets the answer that it is stored.
func TestMailWhoseCommitIsNotAnsweredIsRefusedAndKeptWhole(t *testing.T) {
	t.Parallel()
	for _, cut := range []int32{cutAnswer, cutConfirm} {
		for _, size := range []int{100, 600 << 10} {
			s := newService(t)
			receive(t, s, "first@x", 100) // its connection knows the statement
			cuts := withCuts(t, s)
			receive(t, s, "second@x", 100)
			raw := "Message-ID: <" + strconv.Itoa(size) + "@x>\r\n\r\n" + strings.Repeat("x", size)
			a := Arrival{Source: notifyapi.InboundSMTP, From: "a@x", To: []string{"s@desk.test"}}
			if _, err := s.Receive(t.Context(), a, atEnd{strings.NewReader(raw), func() { cuts.Store(cut) }}); err == nil {
				t.Errorf("cut %d, %d bytes: acknowledged without the commit's confirmation", cut, size)
			}
			r, err := s.Receive(t.Context(), a, strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			var kept bytes.Buffer
			if err := s.EachPiece(t.Context(), r.ID, func(piece []byte) error { kept.Write(piece); return nil }); err != nil || kept.String() != raw {
				t.Errorf("cut %d, %d bytes: %d are kept, %v", cut, size, kept.Len(), err)
			}
		}
	}
}

// A mail that the database refuses fails alone among those that are stored with it.
func TestMailThatCannotBeStoredFailsAloneAndARepeatedOneIsRecognised(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if _, err := s.DB.Exec(t.Context(), "alter table inbound_mails add check (envelope_from <> 'bad')"); err != nil {
		t.Fatal(err)
	}
	var together []*insertion
	for _, m := range []struct{ id, from string }{{"1", "a@x"}, {"2", "bad"}, {"3", "a@x"}, {"1", "a@x"}, {"4", "a@x"}} {
		mail, err := s.transfer(t.Context(), strings.NewReader("Message-ID: <"+m.id+"@x>\r\n\r\nx"))
		if err != nil {
			t.Fatal(err)
		}
		row := mail.row(Arrival{Source: notifyapi.InboundSMTP, From: m.from, To: []string{"s@desk.test"}})
		together = append(together, &insertion{row: row, done: make(chan struct{})})
	}
	byRow := map[uuid.UUID]*insertion{}
	for _, w := range together {
		byRow[w.row.ID] = w
	}
	s.inserter.store(together)
	for _, w := range byRow {
		if <-w.done; (w.err != nil) != (w.row.EnvelopeFrom == "bad") {
			t.Errorf("%s: %v", w.row.EnvelopeFrom, w.err)
		}
	}
	if mails, pieces := count(t, s, "select count(*) from inbound_mails"), count(t, s, "select count(*) from inbound_raw"); mails != 3 || pieces != 3 {
		t.Errorf("%d mails, %d pieces, want 3 of each", mails, pieces)
	}
	if n := count(t, s, "select max(arrivals) from inbound_mails"); n != 2 {
		t.Errorf("the repeated mail arrived %d times, want 2", n)
	}
}

func TestManyMailsAtOnceAreStoredAndReadOnceEach(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const n = 200
	var all sync.WaitGroup
	for k := range 2 * n { // each twice
		all.Go(func() {
			size := 10
			if k%50 == 0 {
				size = 300 << 10
			}
			_, err := s.Receive(t.Context(), Arrival{Source: notifyapi.InboundSMTP, From: "a@x", To: []string{"s@desk.test"}},
				strings.NewReader("Message-ID: <"+strconv.Itoa(k%n)+"@x>\r\n\r\n"+strings.Repeat("x", size+k%n)))
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for again := true; again; {
		var err error
		if again, err = s.readOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s, "select count(*) from inbound_mails where status = 'pending' and tries = 1 and content->>'message_id' <> ''"); got != n {
		t.Errorf("%d mails were read at the first try, want %d", got, n)
	}
	if got := count(t, s, "select count(distinct mail_id) from inbound_raw"); got != n {
		t.Errorf("the bytes of %d mails are kept, want %d", got, n)
	}
}
