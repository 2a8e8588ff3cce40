//go:build unix && !linux

package subprocess

import "syscall"

// Only Linux signals a child when its parent ends.
func signalOnParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
