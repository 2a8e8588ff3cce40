//go:build unix && !linux

package pgserver

import (
	"os/exec"
	"strconv"
	"strings"
)

// commandLine returns the arguments of a process, nothing if it is a zombie.
func commandLine(pid int) (command string, exists bool) {
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(out)), true
}

// attached is unknown here; PostgreSQL itself checks it.
func attached(string) bool { return false }
