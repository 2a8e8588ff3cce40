package launch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// The ports of FreeAddress are below those that systems give to connections and to
// listeners that ask for any port (32768 on Linux, 49152 elsewhere).
const (
	firstPort = 20_000
	ports     = 12_000
)

// taken holds the UDP port with the number of each address that FreeAddress
// returned, by which other programs that call it know that the address is taken.
var taken struct {
	sync.Mutex
	marks []net.PacketConn
}

// FreeAddress returns an address of this host on which nothing listens. No other
// call returns it while this program runs, in any program, so a service that is
// started later can listen on it, and a connection to it is refused until then.
func FreeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.N(ports))
		mark, err := net.ListenPacket("udp4", address)
		if err != nil {
			continue
		}
		if !refuses(address) {
			_ = mark.Close()
			continue
		}
		taken.Lock()
		defer taken.Unlock()
		taken.marks = append(taken.marks, mark)
		return address, nil
	}
	return "", errors.New("no free port was found")
}

// refuses reports whether nothing listens on the address.
func refuses(address string) bool {
	conn, err := net.Dial("tcp4", address)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// WaitListening returns once a connection to the address is accepted, or the error of
// ctx when it ends.
func WaitListening(ctx context.Context, address string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s: %w", address, ctx.Err())
		case <-tick.C:
		}
	}
}
