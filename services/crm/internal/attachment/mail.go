package attachment

import (
	"context"
	"fmt"
	"io"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
)

// ForMail reads files of tickets and public comments for a mail, in the order of the ids. It returns
// none when one of them was removed, belongs to anything else, or is not served (see
// Open). The contents are in memory together: the caller limits their size.
func (s *Service) ForMail(ctx context.Context, ids []uuid.UUID) ([]notifyapi.Attachment, error) {
	rows, err := s.q.AttachmentListMailed(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("list the files of a mail: %w", err)
	}
	if len(rows) != len(ids) {
		return nil, nil
	}
	for _, r := range rows {
		if s.served(Attachment{Scan: Scan(r.Scan)}) != nil {
			return nil, nil
		}
	}
	files := make([]notifyapi.Attachment, len(rows))
	for i, r := range rows {
		content, err := s.readAll(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("read a file of a mail: %w", err)
		}
		files[i] = notifyapi.Attachment{Filename: r.Filename, MediaType: essence(servedType(r.MediaType)), Content: content}
	}
	return files, nil
}

func (s *Service) readAll(ctx context.Context, r crmdb.AttachmentListMailedRow) ([]byte, error) {
	file, err := s.openPlace(ctx, place{r.Store, r.Object}, r.Size)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content := make([]byte, r.Size)
	_, err = io.ReadFull(file, content)
	return content, err
}
