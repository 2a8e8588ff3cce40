package identity

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

func (env *testEnv) auditPartitions() []string {
	env.t.Helper()
	var names []string
	if err := env.pool.QueryRow(env.t.Context(), "select array_agg(name order by ends_at) from audit_partitions()").Scan(&names); err != nil {
		env.t.Fatal(err)
	}
	return names
}

func TestAuditIsDroppedByMonthAfterItsRetention(t *testing.T) {
	env := newTestEnv(t)
	env.service.AuditRetention = 100 * 24 * time.Hour
	recordOne := func(name string) {
		t.Helper()
		err := env.service.inTx(t.Context(), func(q *crmdb.Queries) error {
			return record(t.Context(), q, env.service.now(), audit{kind: "registered", after: map[string]string{"name": name}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	maintain := func() {
		t.Helper()
		for _, err := range concurrently(3, func(int) error { return env.service.MaintainAudit(t.Context()) }) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func(name string) bool {
		return env.count("select count(*) from audit_events where after->>'name' = $1", name) == 1
	}
	maintain()
	recordOne("first")
	for month := range 8 {
		env.clock.advance(31 * 24 * time.Hour)
		maintain()
		recordOne(string(rune('a' + month)))
		if kept("first") != (month < 3) && month != 3 && month != 4 { // months 3 and 4 depend on the day of the month
			t.Errorf("after %d months the first entry exists: %v", month+1, kept("first"))
		}
	}
	if !kept("h") || !kept("f") || kept("a") {
		t.Errorf("the newest %v, two months old %v, seven months old %v", kept("h"), kept("f"), kept("a"))
	}
	if names := env.auditPartitions(); slices.Contains(names, "audit_events_first") || len(names) > 10 {
		t.Errorf("partitions %v", names)
	}
}

func TestAuditWorksAfterMonthsInWhichNoServiceRan(t *testing.T) {
	env := newTestEnv(t)
	env.clock.advance(400 * 24 * time.Hour)
	if env.tryLogin("root@fixdesk.test", "not the password").status == 401 { // the control
		t.Error("an entry was recorded without a partition")
	}
	if err := env.service.PrepareAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.tryLogin("root@fixdesk.test", "not the password").want(t, 401, "invalid_credentials")
}

func TestOnlyNamesCanBeRemovedFromAnAuditEntry(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	one := " where object_id = '" + c.id + "' and kind = 'registered'"
	for _, statement := range []string{
		"delete from audit_events" + one,
		"truncate audit_events",
		"truncate audit_events_first",
		"delete from audit_events_first" + one,
		"update audit_events set kind = 'other'" + one,
		"update audit_events set actor_id = object_id" + one,
		"update audit_events set after = null" + one,
		"update audit_events set after = after - 'role'" + one,
		"update audit_events set after = jsonb_set(after, '{name}', '\"Other\"')" + one,
		"update audit_events set address = '192.0.2.1'" + one,
		"update audit_events_first set kind = 'other'" + one,
	} {
		if _, err := env.pool.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	env.exec("update audit_events set after = after - array['name', 'email', 'reason'], address = null" + one) // the control
	if n := env.count("select count(*) from audit_events" + one + " and after ? 'role' and not after ? 'name'"); n != 1 {
		t.Errorf("%d entries without the name", n)
	}
}
