// Package faulttest holds the tests of what both services promise when
// something breaks: a process is killed, the database or the other service is
// down, a replica is added, the disk is full, clients are slow. They drive the
// binaries that are deployed, on a PostgreSQL with safe settings on disk,
// and depend on nothing of the services but their commands, variables, HTTP and
// database schema.
//
// FIXDESK_TRIALS multiplies how often each fault is caused.
package faulttest
