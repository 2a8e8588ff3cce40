package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
)

const (
	moveBatch = 100
	// keptMoved is how long an object is kept after it was moved, for downloads that
	// read it.
	keptMoved = time.Hour
	// moveWithin is when the object of a move that did not end is removed.
	moveWithin = 24 * time.Hour
)

// Moved counts what Move did.
type Moved struct {
	Files int
	Bytes int64
	// Failed are contents that could not be moved, and stay where they are.
	Failed int
}

// Move copies all contents that are kept elsewhere to a store, checks the copies, and
// has the others removed an hour later. Services may run meanwhile; a Move that was
// interrupted is continued by another. progress is called after each content. The
// error joins those of the contents that failed.
func (s *Service) Move(ctx context.Context, to string, progress func(Moved)) (done Moved, err error) {
	to, err = ParseStore(to)
	if err != nil {
		return done, fmt.Errorf("the store %w", err)
	}
	var failed []error
	after := uuid.Nil
	for {
		next, err := s.q.AttachmentMoveNext(ctx, crmdb.AttachmentMoveNextParams{Store: to, After: after, Most: moveBatch})
		if err != nil {
			return done, fmt.Errorf("list contents to move: %w", err)
		}
		for _, content := range next {
			after = content.ID
			if err := s.moveOne(ctx, content, to); err != nil {
				done.Failed++
				failed = append(failed, fmt.Errorf("content %s: %w", content.ID, err))
			} else {
				done.Files, done.Bytes = done.Files+1, done.Bytes+content.Size
			}
			if ctx.Err() != nil {
				return done, ctx.Err()
			}
			progress(done)
		}
		if len(next) < moveBatch {
			return done, errors.Join(failed[:min(len(failed), 10)]...)
		}
	}
}

// moveOne copies a content to an object of the other store, and refers to that instead.
func (s *Service) moveOne(ctx context.Context, content crmdb.AttachmentMoveNextRow, to string) error {
	object := uuid.Must(uuid.NewV7())
	if err := s.q.AttachmentRemovalAdd(ctx, crmdb.AttachmentRemovalAddParams{Object: object, Store: to, DueAt: s.Now().Add(moveWithin)}); err != nil {
		return fmt.Errorf("begin a move: %w", err)
	}
	err := s.copyObject(ctx, content, place{to, object})
	if err == nil {
		err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return s.refer(ctx, crmdb.New(tx), content, place{to, object}) })
	}
	if errors.Is(err, errGone) {
		s.abandon(ctx, object)
		return nil
	}
	if err != nil {
		s.abandon(ctx, object)
	}
	return err
}

// errGone is returned for a content that was removed, or moved by another, meanwhile.
var errGone = errors.New("the content is no longer there")

// copyObject copies an object, reads the copy and compares its hash.
func (s *Service) copyObject(ctx context.Context, content crmdb.AttachmentMoveNextRow, to place) error {
	source, err := s.openPlace(ctx, place{content.Store, content.Object}, content.Size)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	b, err := s.stores.of(to.store)
	if err != nil {
		return err
	}
	if err := b.write(ctx, to.object, source); err != nil {
		return err
	}
	written, err := s.openPlace(ctx, to, content.Size)
	if err != nil {
		return err
	}
	defer func() { _ = written.Close() }()
	digest := sha256.New()
	if _, err := io.Copy(digest, written); err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if !bytes.Equal(digest.Sum(nil), content.Sha256) {
		return errors.New("the copy has other bytes than the content should have")
	}
	return nil
}

func (s *Service) openPlace(ctx context.Context, p place, size int64) (io.ReadSeekCloser, error) {
	b, err := s.stores.of(p.store)
	if err != nil {
		return nil, err
	}
	return b.open(ctx, p.object, size)
}

// refer makes the content refer to its copy.
func (s *Service) refer(ctx context.Context, q *crmdb.Queries, content crmdb.AttachmentMoveNextRow, to place) error {
	n, err := q.AttachmentMoved(ctx, crmdb.AttachmentMovedParams{
		ToStore: to.store, ToObject: to.object, ID: content.ID, FromStore: content.Store, FromObject: content.Object,
	})
	if err != nil {
		return fmt.Errorf("refer to the copy: %w", err)
	}
	if n == 0 {
		return errGone
	}
	if err := keepObject(ctx, q, to.object, s.Now()); err != nil {
		return err
	}
	if err := q.AttachmentRemovalAdd(ctx, crmdb.AttachmentRemovalAddParams{
		Object: content.Object, Store: content.Store, DueAt: s.Now().Add(keptMoved),
	}); err != nil {
		return fmt.Errorf("remove the former object: %w", err)
	}
	return nil
}
