package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

func TestErasureOfMailsIsRepeatedUntilTheNotificationServiceHasTakenIt(t *testing.T) {
	o := newTestEnv(t)
	hash := sha256.Sum256([]byte("ada@example.com"))
	left := func() (n int) {
		if err := o.pool.QueryRow(t.Context(), "select count(*) from mail_erasures").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 { // erased, and erased again
		if err := o.q.UserEraseMailsTo(t.Context(), crmdb.UserEraseMailsToParams{EmailHash: hash[:], DueAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.dispatcher.erase(t.Context()); err != nil || len(o.service.seen()) != 0 {
		t.Errorf("before it is due: %v, %d requests", err, len(o.service.seen()))
	}
	o.exec("update mail_erasures set due_at = now()")
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusNotFound} { // the latter is an older version
		o.service.script(always(status, "unavailable"))
		if _, err := o.dispatcher.erase(t.Context()); err == nil || left() != 1 {
			t.Errorf("%d: %v, %d erasures are left", status, err, left())
		}
	}
	o.service.script(func(_ int, _ post, w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) })
	if _, err := o.dispatcher.erase(t.Context()); err != nil || left() != 0 {
		t.Errorf("%v, %d erasures are left", err, left())
	}
	if posts := o.service.seen(); len(posts) != 1 || !strings.Contains(string(posts[0].body), hex.EncodeToString(hash[:])) {
		t.Errorf("%d requests", len(posts))
	}
}

// Otherwise the log calls a service that is away a lost database.
func TestErasureOfMailsUsesAnotherServerThanTheDatabase(t *testing.T) {
	o := newTestEnv(t)
	if !erasureLoop(o.dispatcher, nil).Remote {
		t.Error("the job counts as one that uses the database alone")
	}
}
