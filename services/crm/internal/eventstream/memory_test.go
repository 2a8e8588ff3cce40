package eventstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"fixdesk/services/crm/internal/crmtest"
)

// mostPerStream is the most that an open stream may take, in bytes of heap in use and of
// stacks, with the client's side of its connection.
const mostPerStream = 24 << 10

// It isn't parallel, so that nothing else takes memory.
func TestOpenStreamNeedsLittleMemory(t *testing.T) {
	closeIdleConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(nil)
	const staff = 15
	var readers []crmtest.User
	for range staff {
		readers = append(readers, d.User("admin"))
	}
	perStream := func(protocol string) int64 {
		conns := d.openRaw(r, protocol, readers[0]) // what the first takes, all share
		defer closeAll(conns)
		before := inUse()
		more := d.openRaw(r, protocol, readers[1:]...)
		defer closeAll(more)
		return (inUse() - before) / int64(len(more))
	}
	needs := perStream("HTTP/1.1")
	if needs > mostPerStream {
		t.Errorf("a stream takes %d bytes", needs)
	}
	d.Eventually("the streams are gone", func() bool { return r.openStreams() == 0 })
	// The control: net/http keeps the request, its buffers and the handler's stack.
	control := perStream("HTTP/1.0")
	if control <= mostPerStream {
		t.Errorf("control: a stream that net/http serves takes %d bytes", control)
	}
	t.Logf("a stream takes %d bytes, and %d where net/http serves it", needs, control)
}

// openRaw opens as many streams of each reader as one may have, without a goroutine or
// a buffer on the side of the client, and waits until each has sent its first lines.
func (d *testEnv) openRaw(r *replica, protocol string, readers ...crmtest.User) []net.Conn {
	d.Helper()
	var conns []net.Conn
	for i := range len(readers) * maxStreamsStaff {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			d.Fatal(err)
		}
		conns = append(conns, conn)
		d.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "GET /v1/events %s\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", protocol, readers[i/maxStreamsStaff].ID); err != nil {
			d.Fatal(err)
		}
		lines := bufio.NewReader(conn)
		for line := ""; !strings.HasPrefix(line, ": heartbeat"); {
			if line, err = lines.ReadString('\n'); err != nil {
				d.Fatal(err)
			}
		}
	}
	return conns
}

func closeAll[C io.Closer](all []C) {
	for _, c := range all {
		_ = c.Close()
	}
}

// inUse is the memory of heap and stacks in use, in bytes, after the garbage is
// collected; each collection halves stacks that are too large.
func inUse() int64 {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
