// Package failover has the trials of high availability on Debian's PostgreSQL,
// Patroni, etcd, PgBouncer and HAProxy: two nodes of the database and two replicas of
// each service, under load. "make test-failover" runs them, as root on a machine that
// has nothing else to do; all processes are the test's own.
package failover
