package delivery

import (
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"fixdesk/services/notification/internal/notificationdb"
)

// contents keeps the content of notifications with several recipients in the latest
// claim, so that the next claim returns it for none of them. It never changes while a
// recipient waits for it. The zero value is ready; it is safe for concurrent use.
type contents struct {
	mu   sync.Mutex
	kept map[uuid.UUID]content
}

// content is what the mails of a notification say.
type content struct{ text, html string }

// known returns what a claim need not return. It never changes.
func (c *contents) known() map[uuid.UUID]content {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

// maxKnown bounds how many notifications are known, since a claim compares each recipient's
// with all of them.
const maxKnown = 16

// complete adds the known content to claimed rows, and keeps what the next claim need not
// return.
func (c *contents) complete(rows []notificationdb.DeliveryClaimRow, known map[uuid.UUID]content) {
	seen, kept := map[uuid.UUID]bool{}, map[uuid.UUID]content{}
	for i := range rows {
		r := &rows[i]
		id := r.NotificationID
		if r.IsKnown {
			r.Text, r.Html = known[id].text, known[id].html
		} else if same, ok := kept[id]; ok {
			r.Text, r.Html = same.text, same.html
		}
		if (seen[id] || r.IsKnown) && r.Bytes <= inlineBytes && len(kept) < maxKnown {
			kept[id] = content{r.Text, r.Html}
		}
		seen[id] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = kept
}

func idsOf(known map[uuid.UUID]content) []uuid.UUID {
	return slices.AppendSeq(make([]uuid.UUID, 0, len(known)), maps.Keys(known)) // nil would be NULL
}
