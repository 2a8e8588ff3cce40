package launch_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"fixdesk/pkg/dev/launch"
)

func TestFreeAddressRefusesConnectionsAndIsReturnedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		address, err := launch.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s is returned twice", address)
		}
		seen[address] = true
		if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a connection to %s: %v", address, err)
		}
		if mark, err := net.ListenPacket("udp4", address); err == nil {
			_ = mark.Close()
			t.Fatalf("another program could take %s", address)
		}
	}
	for address := range seen { // the control
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("a service can't listen on %s: %v", address, err)
		}
		_ = listener.Close()
	}
}
