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

// runsPrograms reports whether programs in dir can be run, which the /dev/shm of
// a container may not allow.
func runsPrograms(dir string) bool {
	const noExec = 8 // ST_NOEXEC of statvfs(3)
	var stat syscall.Statfs_t
	return syscall.Statfs(dir, &stat) == nil && int64(stat.Flags)&noExec == 0
}
