package app

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/inbound"
)

func TestReplicasMakeTheSameAddressesForAnswers(t *testing.T) {
	t.Setenv("CRM_DATABASE_URL", pgtest.NewPatientURL(t, db.CRM, "crm/migrations"))
	t.Setenv("CRM_DATABASE_POOL_SIZE", "4")
	t.Setenv("CRM_SUPPORT_ADDRESS", "support@fixdesk.test")
	ticket := uuid.New()
	start := func() string {
		c, err := LoadConfig()
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(t.Context(), c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if before := a.addresses.ReplyTo(ticket, 42, inbound.ToReporter); before != "" && !c.ReplySecret.IsSet() {
			t.Errorf("before the secret is read, an address is %s", before)
		}
		if err := a.prepareAddresses(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a.addresses.ReplyTo(ticket, 42, inbound.ToReporter)
	}
	first, second := start(), start()
	t.Setenv("CRM_REPLY_SECRET", "a secret of the operator, long enough")
	given := start()
	if first == "" || first != second || given == first {
		t.Errorf("%s, %s, and with a secret of the operator %s", first, second, given)
	}
}
