//go:build unix && !linux

package subprocess

import "syscall"

// Only Linux tells a child that its parent has died.
func signalOnParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
