package pgserver

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// commandLine returns the arguments of a process, nothing if it is a zombie.
func commandLine(pid int) (command string, exists bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", false
	}
	return string(bytes.TrimSpace(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))), true
}

// attached reports whether any process still uses the shared memory segment, as
// the children of a killed server do for a moment.
func attached(shmID string) bool {
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil || shmID == "" {
		return false
	}
	for line := range strings.Lines(string(text)) {
		// key shmid perms size cpid lpid nattch …
		if f := strings.Fields(line); len(f) > 6 && f[1] == shmID {
			return f[6] != "0"
		}
	}
	return false
}
