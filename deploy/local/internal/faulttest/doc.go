// Package faulttest holds the tests of both services under faults: a process is
// killed, the database or the other service is down, a replica is added, the disk is
// full, clients are slow. They run the binaries that are deployed, on a PostgreSQL
// with safe settings, and depend on their commands, variables, HTTP and
// database schema alone.
//
// Package trials says how often each fault is caused.
package faulttest
