package delivery

import (
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"fixdesk/services/notification/internal/notificationdb"
)

// contents keeps the content of the notifications of the latest claim that have several
// recipients, so that the next claim returns it for none of them. It never changes while a
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

// complete adds the known content to claimed rows, and keeps that of all of them.
func (c *contents) complete(rows []notificationdb.DeliveryClaimRow, known map[uuid.UUID]content) {
	kept := map[uuid.UUID]content{}
	for i := range rows {
		r := &rows[i]
		same, ok := kept[r.NotificationID]
		switch {
		case ok:
		case r.IsKnown:
			same = known[r.NotificationID]
		case r.Shared && r.Bytes <= inlineBytes:
			same = content{r.Text, r.Html}
		default:
			continue
		}
		kept[r.NotificationID], r.Text, r.Html = same, same.text, same.html
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = kept
}

func idsOf(known map[uuid.UUID]content) []uuid.UUID {
	return slices.AppendSeq(make([]uuid.UUID, 0, len(known)), maps.Keys(known)) // nil would be NULL
}
