package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a terminal (pts(4)).
func openTerminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return screen, program
}

func TestTerminalIsAskedForThePasswordAndDoesNotShowIt(t *testing.T) {
	screen, program := openTerminal(t)
	read := make(chan string, 1)
	go func() {
		password, err := readPassword(program, program)
		read <- fmt.Sprint(password, err)
	}()
	shown := ""
	look := func(until string) {
		t.Helper()
		buf := make([]byte, 1000)
		for !strings.Contains(shown, until) {
			n, err := screen.Read(buf)
			if err != nil {
				t.Fatalf("%q: %v", shown, err)
			}
			shown += string(buf[:n])
		}
	}
	look("Password: ")
	for hidden := false; !hidden; time.Sleep(time.Millisecond) {
		state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		hidden = state.Lflag&unix.ECHO == 0
	}
	if _, err := screen.WriteString("correct horse\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "correct horse<nil>" {
		t.Errorf("read %q", got)
	}
	look("\r\n")
	if shown != "Password: \r\n" {
		t.Errorf("shown: %q", shown)
	}
}
