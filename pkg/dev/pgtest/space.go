//go:build unix

package pgtest

import "syscall"

// hasSpace reports whether dir can be written to and has that many bytes free.
func hasSpace(dir string, bytes uint64) bool {
	const writable = 2 // W_OK of access(2)
	var stat syscall.Statfs_t
	if syscall.Access(dir, writable) != nil || syscall.Statfs(dir, &stat) != nil {
		return false
	}
	return uint64(stat.Bavail)*uint64(stat.Bsize) >= bytes
}
