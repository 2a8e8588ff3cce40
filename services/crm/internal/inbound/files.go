package inbound

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"

	"github.com/jackc/pgx/v5"
)

// maxFiles is how many files of a mail are attached.
const maxFiles = 50

// files are the stored files of a mail, and notes on those that could not be stored.
type files struct {
	ids   []uuid.UUID
	notes []string
}

// files stores the files of a mail that will have an effect. Those of a mail that turns
// out to have none belong to nothing, and go after a day.
func (s *Service) files(ctx context.Context, m notifyapi.InboundMail) (files, error) {
	if len(m.Attachments) == 0 {
		return files{}, nil
	}
	q := crmdb.New(s.Pool)
	sit, err := s.situation(ctx, q, m)
	if err != nil {
		return files{}, err
	}
	if d := sit.decide(); d.outcome == Ignored || d.outcome == Held && d.target == nil {
		return files{}, nil
	}
	if known, err := s.isKnown(ctx, q, m); err != nil || known {
		return files{}, err
	}
	return s.filesOf(ctx, m)
}

// filesOf stores the files of a mail for its sender.
func (s *Service) filesOf(ctx context.Context, m notifyapi.InboundMail) (files, error) {
	var f files
	if len(m.Attachments) == 0 || m.From == nil || canonical(m.From.Email) == "" {
		return f, nil
	}
	var owner uuid.UUID
	err := pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			owner, err = identity.EnsureCustomer(ctx, crmdb.New(tx), s.Now(), uuid.Nil, canonical(m.From.Email), oneLine(m.From.Name))
			return err
		})
	})
	if err != nil {
		return f, err
	}
	for n, a := range m.Attachments {
		if n == maxFiles {
			f.notes = append(f.notes, fmt.Sprintf("(The mail has %d more files, which are only in its original.)", len(m.Attachments)-n))
			break
		}
		id, err := s.file(ctx, m.ID, n, owner, a)
		if errs.HasCode(err, errs.CodeBodyTooLarge) {
			f.notes = append(f.notes, fmt.Sprintf("(The file %s of %d MiB is too large. It is only in the original of the mail.)", fileName(a), a.Size>>20))
			continue
		}
		if err != nil {
			return f, fmt.Errorf("store a file of a mail: %w", err)
		}
		f.ids = append(f.ids, id)
	}
	return f, nil
}

func (s *Service) file(ctx context.Context, mail uuid.UUID, n int, owner uuid.UUID, a notifyapi.InboundAttachment) (uuid.UUID, error) {
	content, err := s.Client.InboundAttachment(ctx, mail, n)
	if err != nil {
		return uuid.Nil, err
	}
	defer func() { _ = content.Close() }()
	stored, err := s.Files.Store(ctx, owner, fileName(a), content)
	return stored.ID, err
}

// extensions are of the files that mail programs put into mails without a name.
var extensions = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "application/pdf": ".pdf",
	"text/plain": ".txt", "text/html": ".html", "text/calendar": ".ics", "message/rfc822": ".eml", "application/zip": ".zip",
}

// fileName is the name of a file, or one for a file without.
func fileName(a notifyapi.InboundAttachment) string {
	if name := clipped(oneLine(a.Filename), 200); name != "" {
		return name
	}
	if a.Inline {
		return "picture" + extensions[a.MediaType]
	}
	return "file" + extensions[a.MediaType]
}
