package pg_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestPooledSessionsWithoutLimitsAreRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t, none, "m")
	pooled := open(t, url, pg.Config{Application: "pooled", Pooler: true})
	err := pg.CheckLimits(t.Context(), pooled)
	if err == nil || !strings.Contains(err.Error(), "no statement_timeout, no lock_timeout, no idle_in_transaction_session_timeout") ||
		!strings.Contains(err.Error(), "alter role") {
		t.Errorf("without limits: %v", err)
	}
	if err := pg.CheckLimits(t.Context(), open(t, url, pg.Config{})); err != nil {
		t.Errorf("control: without a pooler the sessions set them: %v", err)
	}
	if err := pg.CheckLimits(t.Context(), open(t, url+"&statement_timeout=0&lock_timeout=0&idle_in_transaction_session_timeout=0", pg.Config{})); err != nil {
		t.Errorf("limits that the URL turns off: %v", err)
	}
	name := pgx.Identifier{pooled.Config().ConnConfig.Database}.Sanitize()
	for _, limit := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		mustExec(t, pooled, "alter database "+name+" set "+limit+" = '5s'")
	}
	pooled.Reset()
	if err := pg.CheckLimits(t.Context(), pooled); err != nil {
		t.Errorf("control: with limits of the database: %v", err)
	}
	var application string
	if err := pooled.QueryRow(t.Context(), "select current_setting('application_name')").Scan(&application); err != nil || application != "pooled" {
		t.Errorf("application_name is %q: %v", application, err)
	}
	var statements int
	if err := pooled.QueryRow(t.Context(), "select count(*) from pg_prepared_statements").Scan(&statements); err != nil || statements != 0 {
		t.Errorf("%d named statements: %v", statements, err)
	}
}
