package attachment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// ErrNotFree is in the chain of Lock's error.
var ErrNotFree = errors.New("a file is not one that the person may attach")

// Lock locks files that the owner uploaded and that belong to nothing yet, until the
// end of the transaction. The error, also of ErrNotFree, is validation_failed when
// one of them isn't such a file.
func Lock(ctx context.Context, q *crmdb.Queries, owner uuid.UUID, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	free, err := q.AttachmentLock(ctx, crmdb.AttachmentLockParams{Ids: ids, OwnerID: owner})
	if err != nil {
		return fmt.Errorf("lock attachments: %w", err)
	}
	var fields []errs.Field
	for i, id := range ids {
		if !slices.Contains(free, id) || slices.Contains(ids[:i], id) {
			fields = append(fields, errs.Field{
				Location: "body.attachment_ids[" + strconv.Itoa(i) + "]",
				Message:  "must be a file that you uploaded within the last 24 hours and have not attached",
			})
		}
	}
	if len(fields) > 0 {
		return errs.Validation(fields...).Because(ErrNotFree)
	}
	return nil
}

// Names returns id, name and size of files, in the order of the ids.
func Names(ctx context.Context, q *crmdb.Queries, ids []uuid.UUID) ([]notice.File, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := q.AttachmentNames(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the names of files: %w", err)
	}
	files := make([]notice.File, len(rows))
	for i, r := range rows {
		files[i] = notice.File{ID: r.ID, Name: r.Filename, Size: r.Size}
	}
	return files, nil
}

// NamesOfComment returns id, name and size of a comment's files.
func NamesOfComment(ctx context.Context, q *crmdb.Queries, comment uuid.UUID) ([]notice.File, error) {
	list, err := OfComments(ctx, q, []uuid.UUID{comment})
	if err != nil {
		return nil, err
	}
	var files []notice.File
	for _, a := range list[comment] {
		files = append(files, notice.File{ID: a.ID, Name: a.Filename, Size: a.Size})
	}
	return files, nil
}

// Attach gives files that Lock locked to a ticket, or to a comment on it unless that
// is nil, in the given order.
func Attach(ctx context.Context, q *crmdb.Queries, ticket uuid.UUID, comment *uuid.UUID, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := q.AttachmentAttach(ctx, crmdb.AttachmentAttachParams{TicketID: ticket, CommentID: comment, Ids: ids}); err != nil {
		return fmt.Errorf("attach files: %w", err)
	}
	return nil
}

// OfTicket lists the files of a ticket itself, not those of its comments.
func OfTicket(ctx context.Context, q *crmdb.Queries, ticket uuid.UUID) ([]Attachment, error) {
	rows, err := q.AttachmentListTicket(ctx, ticket)
	if err != nil {
		return nil, fmt.Errorf("list the files of a ticket: %w", err)
	}
	list := make([]Attachment, len(rows))
	for i, r := range rows {
		list[i] = Attachment{
			ID: r.ID, Filename: r.Filename, MediaType: r.MediaType, Size: r.Size, SHA256: r.Sha256, Scan: Scan(r.Scan), CreatedAt: r.CreatedAt,
			TicketID: &ticket, place: place{r.Store, r.Object},
		}
	}
	return list, nil
}

// OfComments lists the files of comments, by the comment's id.
func OfComments(ctx context.Context, q *crmdb.Queries, comments []uuid.UUID) (map[uuid.UUID][]Attachment, error) {
	if len(comments) == 0 {
		return nil, nil
	}
	rows, err := q.AttachmentListComments(ctx, comments)
	if err != nil {
		return nil, fmt.Errorf("list the files of comments: %w", err)
	}
	lists := map[uuid.UUID][]Attachment{}
	for _, r := range rows {
		lists[r.CommentID] = append(lists[r.CommentID], Attachment{
			ID: r.ID, Filename: r.Filename, MediaType: r.MediaType, Size: r.Size, SHA256: r.Sha256, Scan: Scan(r.Scan), CreatedAt: r.CreatedAt,
			CommentID: &r.CommentID, place: place{r.Store, r.Object},
		})
	}
	return lists, nil
}

// RemoveOfComment removes the files of a comment.
func RemoveOfComment(ctx context.Context, q *crmdb.Queries, arg crmdb.AttachmentRemoveOfCommentParams) error {
	if _, err := q.AttachmentRemoveOfComment(ctx, arg); err != nil {
		return fmt.Errorf("remove the files of a comment: %w", err)
	}
	return nil
}
