package failover

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestControlAsynchronousReplicationLosesAcknowledgedTickets(t *testing.T) {
	r := newTrial(t, false)
	r.during(t, "kill -9 of a primary whose standby lags", func() {
		dead, after := r.primary(), r.standby()
		// The standby receives nothing more: the server refuses its connection.
		r.exec(t, "postgres", "postgres", "alter role replicator nologin",
			"select pg_terminate_backend(pid) from pg_stat_replication")
		time.Sleep(3 * time.Second)
		dead.kill(t)
		eventually(t, "the other node is the primary", func() bool { return after.is("/primary") })
		eventually(t, "the standby may receive again", func() bool {
			return execOn(t.Context(), after, "alter role replicator login") == nil
		})
		r.start(t, dead)
	})
	r.load.end()
	if lost := r.lost(t); lost == 0 {
		t.Error("nothing was lost: the trial would not see it")
	} else {
		t.Logf("%d of %d acknowledged tickets are lost", lost, len(r.load.acknowledged))
	}
}

func execOn(ctx context.Context, n *node, sql string) error {
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+n.address+"/postgres?sslmode=disable")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}
