package outbox

import (
	"context"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

const (
	// maxWithFiles is how many mails with files are posted at a time, since each needs
	// several times the size of its files in memory.
	maxWithFiles = 2
	// filesTimeout is how long a mail waits for its files, within postTimeout.
	filesTimeout = 5 * time.Second
	// linkFor is how long files are linked without being read after one was not read in
	// time, so that a store that hangs doesn't delay mails.
	linkFor = time.Minute
)

// Files reads the files of a ticket or a public comment for a mail, in the order of the ids. It
// returns none when one of them must not be mailed.
//
// It may return something else when an entry is posted again, since a comment is
// removed or a scan ends meanwhile. What the service stored first remains: it refuses
// the other request as a mismatch of the same key, which is outcomeRepeated.
type Files func(ctx context.Context, ids []uuid.UUID) ([]notifyapi.Attachment, error)

// mailed returns the ids of the files that a mail should have with it: none where they
// are more or larger than the notification service takes, or are not read for now.
func (d *Dispatcher) mailed(n notice.Notice) []uuid.UUID {
	files := notice.Attachable(n, d.links)
	if d.files == nil || len(files) > notifyapi.MaxAttachments || d.linked.Load() {
		return nil
	}
	ids, total := make([]uuid.UUID, len(files)), int64(0)
	for i, f := range files {
		ids[i] = f.ID
		total += f.Size
	}
	if total > notifyapi.MaxAttachmentBytes {
		return nil
	}
	return ids
}

// read returns the files of a mail. A mail doesn't wait for files that can't be read:
// it links to them.
func (d *Dispatcher) read(ctx context.Context, e crmdb.OutboxClaimRow, n notice.Notice) []notifyapi.Attachment {
	ids := d.mailed(n)
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, filesTimeout)
	defer cancel()
	files, err := d.files(ctx, ids)
	if ctx.Err() != nil {
		d.linked.Store(true)
		time.AfterFunc(linkFor, func() { d.linked.Store(false) })
	}
	if err != nil {
		d.log.WarnContext(obs.WithRequestID(ctx, e.RequestID), "files not read, which are linked", "entry", e.ID, "error", errorText(err))
		return nil
	}
	return files
}
