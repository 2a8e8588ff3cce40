// Package faulttest holds the tests of what both services promise when
// something breaks: a process is killed, the database or the other service goes
// away, a replica is added, the disk is full, clients are slow. They drive the
// binaries that are deployed, on a PostgreSQL that keeps its promises on disk,
// and know nothing of the services but their commands, variables, HTTP and
// database schema.
//
// FIXDESK_TRIALS multiplies how often each fault is caused.
package faulttest
