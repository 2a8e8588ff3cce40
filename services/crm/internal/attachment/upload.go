package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/gabriel-vasile/mimetype"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	// detectFrom is how many bytes of a file decide what it is.
	detectFrom = 3072
	// abandonedAfter is when the object of an upload that did not end is removed. An
	// upload takes less time.
	abandonedAfter = time.Hour
	// cleanUpWithin bounds what is done after a failed upload.
	cleanUpWithin = 5 * time.Second
)

// Store stores what r has as a file of the owner, who can attach it within 24 hours.
// It cleans the name by text.FileName. Nothing is kept unless r is read to its end
// without an error. It is for files that did not come by the API, such as those of a
// mail: the quota does not apply to them, but they count. The error is
// errs.CodeBodyTooLarge beyond Config.Max.
func (s *Service) Store(ctx context.Context, owner uuid.UUID, name string, r io.Reader) (Attachment, error) {
	return s.store(ctx, owner, name, r, 0)
}

// Upload is Store within the quota of the owner. The error is errs.CodeRateLimited
// beyond that.
func (s *Service) Upload(ctx context.Context, owner uuid.UUID, name string, r io.Reader) (Attachment, error) {
	if s.Quota == 0 {
		return s.store(ctx, owner, name, r, 0)
	}
	left, err := s.quotaLeft(ctx, s.q, owner)
	if err != nil {
		return Attachment{}, err
	}
	if left < 1 {
		return Attachment{}, s.overQuota(ctx, owner)
	}
	return s.store(ctx, owner, name, r, left)
}

// store is Store with at most quota bytes; 0 is no quota.
func (s *Service) store(ctx context.Context, owner uuid.UUID, name string, r io.Reader, quota int64) (a Attachment, err error) {
	object := uuid.Must(uuid.NewV7())
	if err := s.q.AttachmentRemovalAdd(ctx, crmdb.AttachmentRemovalAddParams{
		Object: object, Store: s.stores.current, DueAt: s.Now().Add(abandonedAfter),
	}); err != nil {
		return Attachment{}, fmt.Errorf("begin an upload: %w", err)
	}
	defer func() {
		if err != nil {
			s.abandon(ctx, object)
		}
	}()
	m := newMeter(r, s.Max, quota)
	mediaType, err := m.detect()
	if err == nil {
		err = s.write(ctx, object, m)
	}
	switch {
	case errors.Is(err, errOverQuota):
		return Attachment{}, s.overQuota(ctx, owner)
	case errs.As(err) != nil:
		return Attachment{}, err
	case err != nil:
		return Attachment{}, fmt.Errorf("store a file: %w", err)
	}
	received := Attachment{
		ID: uuid.Must(uuid.NewV7()), OwnerID: owner, Filename: text.FileName(name), MediaType: mediaType,
		Size: m.size, SHA256: m.digest.Sum(nil), Scan: s.unscanned(), CreatedAt: s.Now(), place: place{s.stores.current, object},
	}
	err = pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			a, err = s.add(ctx, crmdb.New(tx), received, quota > 0)
			return err
		})
	})
	if err != nil {
		return Attachment{}, fmt.Errorf("store a file: %w", err)
	}
	s.wake()
	return a, nil
}

// write writes an object of the store of new contents. An outage of that is
// errs.CodeUnavailable.
func (s *Service) write(ctx context.Context, object uuid.UUID, m *meter) error {
	b, err := s.stores.of(s.stores.current)
	if err != nil {
		return err
	}
	err = b.write(ctx, object, m)
	if err != nil && m.err == nil && s.stores.current != Postgres && ctx.Err() == nil {
		return errStoreAway.Because(err)
	}
	return err
}

var errStoreAway = errs.New(errs.Unavailable, errs.CodeUnavailable, "Files can't be stored at the moment. Try again soon.").After(5 * time.Second)

// unscanned is the scan of a new content.
func (s *Service) unscanned() Scan {
	if s.Clamd == "" {
		return ScanOff
	}
	return ScanPending
}

// add writes the file whose object is complete. If the same content is there already,
// the file gets that, and the object is removed.
func (s *Service) add(ctx context.Context, q *crmdb.Queries, a Attachment, limited bool) (Attachment, error) {
	if limited {
		if err := s.checkQuota(ctx, q, a); err != nil {
			return a, err
		}
	}
	content := uuid.Must(uuid.NewV7())
	n, err := q.AttachmentContentAdd(ctx, crmdb.AttachmentContentAddParams{
		ID: content, Sha256: a.SHA256, Size: a.Size, MediaType: a.MediaType, Scan: crmdb.AttachmentScan(a.Scan),
		Store: a.place.store, Object: a.place.object, CreatedAt: a.CreatedAt,
	})
	if err != nil {
		return a, fmt.Errorf("add the content: %w", err)
	}
	if n == 1 {
		err = keepObject(ctx, q, a.place.object, s.Now())
	} else {
		content, a.Scan, err = s.reuse(ctx, q, a)
	}
	if err != nil {
		return a, err
	}
	if err := q.AttachmentAdd(ctx, crmdb.AttachmentAddParams{
		ID: a.ID, ContentID: content, OwnerID: a.OwnerID, Filename: a.Filename, Size: a.Size, CreatedAt: a.CreatedAt,
	}); err != nil {
		return a, fmt.Errorf("add the file: %w", err)
	}
	return a, nil
}

// keepObject cancels the removal of an object.
func keepObject(ctx context.Context, q *crmdb.Queries, object uuid.UUID, now time.Time) error {
	n, err := q.AttachmentRemovalCancel(ctx, crmdb.AttachmentRemovalCancelParams{Object: object, Now: now})
	if err == nil && n != 1 {
		err = errors.New("it took longer than an hour and is being removed")
	}
	if err != nil {
		return fmt.Errorf("keep an object: %w", err)
	}
	return nil
}

// reuse finds the content that equals the file's, and has its object removed.
func (s *Service) reuse(ctx context.Context, q *crmdb.Queries, a Attachment) (uuid.UUID, Scan, error) {
	row, err := q.AttachmentContentFind(ctx, a.SHA256)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, "", pg.ErrRetry // it was removed a moment ago
	}
	if err != nil {
		return uuid.Nil, "", fmt.Errorf("find the content: %w", err)
	}
	if err := q.AttachmentRemovalDue(ctx, crmdb.AttachmentRemovalDueParams{Object: a.place.object, DueAt: s.Now()}); err != nil {
		return uuid.Nil, "", fmt.Errorf("remove the object: %w", err)
	}
	return row.ID, Scan(row.Scan), nil
}

// abandon has the object of a failed upload removed soon.
func (s *Service) abandon(ctx context.Context, object uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpWithin)
	defer cancel()
	if err := s.q.AttachmentRemovalDue(ctx, crmdb.AttachmentRemovalDueParams{Object: object, DueAt: s.Now()}); err != nil {
		s.Log.WarnContext(ctx, "the object of a failed upload is removed in an hour", "error", err.Error())
	}
}

// quotaLeft is how many bytes the owner may still upload.
func (s *Service) quotaLeft(ctx context.Context, q *crmdb.Queries, owner uuid.UUID) (int64, error) {
	used, err := q.AttachmentUsage(ctx, crmdb.AttachmentUsageParams{OwnerID: owner, Since: s.Now().Add(-quotaSpan)})
	if err != nil {
		return 0, fmt.Errorf("read the usage: %w", err)
	}
	return s.Quota - used.Bytes, nil
}

// checkQuota checks the quota again, since others of the owner's uploads may have
// ended meanwhile.
func (s *Service) checkQuota(ctx context.Context, q *crmdb.Queries, a Attachment) error {
	if err := q.AttachmentOwnerLock(ctx, a.OwnerID); err != nil {
		return fmt.Errorf("lock the usage: %w", err)
	}
	left, err := s.quotaLeft(ctx, q, a.OwnerID)
	if err != nil {
		return err
	}
	if left < a.Size {
		return s.overQuota(ctx, a.OwnerID)
	}
	return nil
}

// overQuota is the refusal beyond the quota, with the time after which the oldest file
// of the last 24 hours no longer counts.
func (s *Service) overQuota(ctx context.Context, owner uuid.UUID) error {
	now := s.Now()
	used, err := s.q.AttachmentUsage(ctx, crmdb.AttachmentUsageParams{OwnerID: owner, Since: now.Add(-quotaSpan)})
	if err != nil {
		return fmt.Errorf("read the usage: %w", err)
	}
	wait := max(used.FirstAt.Add(quotaSpan).Sub(now), time.Second)
	return errs.New(errs.RateLimited, errs.CodeRateLimited, fmt.Sprintf(
		"You may upload %s in 24 hours, and this file is more than is left of that. Try again later.", bytesInWords(s.Quota))).After(wait)
}

// bytesInWords is a number of bytes, in MiB if it is a whole number of them.
func bytesInWords(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

var errOverQuota = errors.New("more than the quota")

// meter reads a file, counts and hashes it, and ends it beyond a limit.
type meter struct {
	r          io.Reader
	max, quota int64 // quota 0 is none
	size       int64
	digest     hash.Hash
	err        error // why the file can't be read to its end
}

func newMeter(r io.Reader, most, quota int64) *meter {
	return &meter{r: r, max: most, quota: quota, digest: sha256.New()}
}

// detect returns the media type of the file, from its first bytes, which are read
// again afterwards.
func (m *meter) detect() (string, error) {
	head := make([]byte, detectFrom)
	n, err := io.ReadFull(m.r, head)
	if err != nil && !ended(err) {
		return "", err
	}
	m.r = io.MultiReader(bytes.NewReader(head[:n]), m.r)
	return mimetype.Detect(head[:n]).String(), nil
}

// Read reads the file.
func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.size += int64(n)
	_, _ = m.digest.Write(b[:n]) // never fails
	switch {
	case m.size > m.max:
		err = errs.New(errs.BadRequest, errs.CodeBodyTooLarge, "The file is larger than "+bytesInWords(m.max)+".")
	case m.quota > 0 && m.size > m.quota:
		err = errOverQuota
	}
	if err != nil && err != io.EOF { //nolint:errorlint // the very value
		m.err = err
	}
	return n, err
}
