package request

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
)

const (
	maxKeyLength = 200
	// farthestNotBefore is how far in the future not_before may be.
	farthestNotBefore = 366 * 24 * time.Hour
)

// isOver reports whether a notification has a final status, which only a manual
// retry changes.
func isOver(s notifyapi.Status) bool {
	return s != notifyapi.StatusQueued && s != notifyapi.StatusProcessing
}

// dueAt is when the first mail may be sent.
func dueAt(r notifyapi.Request, now time.Time) (time.Time, []errs.Field) {
	if r.NotBefore == nil || !r.NotBefore.After(now) {
		return now, nil
	}
	if r.NotBefore.After(now.Add(farthestNotBefore)) {
		return now, []errs.Field{{Location: "body.not_before", Message: "must be at most a year ahead"}}
	}
	return r.NotBefore.UTC().Truncate(time.Microsecond), nil
}

// expiresAt is when the mails are not sent any more, nil for never. They must be
// due before.
func expiresAt(r notifyapi.Request, due, now time.Time) (*time.Time, []errs.Field) {
	if r.ExpiresAt == nil {
		return nil, nil
	}
	at := r.ExpiresAt.UTC().Truncate(time.Microsecond)
	switch {
	case !at.After(now):
		return nil, []errs.Field{{Location: "body.expires_at", Message: "must be in the future"}}
	case !at.After(due):
		return nil, []errs.Field{{Location: "body.expires_at", Message: "must be after not_before"}}
	case at.After(now.Add(2 * farthestNotBefore)):
		return nil, []errs.Field{{Location: "body.expires_at", Message: "must be at most two years ahead"}}
	}
	return &at, nil
}

// replyAddress is the canonical form of reply_to.
func replyAddress(raw *string) (*string, []errs.Field) {
	if raw == nil {
		return nil, nil
	}
	email, err := address.Parse(*raw)
	if err != nil {
		return nil, []errs.Field{{Location: "body.reply_to", Message: err.Error()}}
	}
	return &email, nil
}

// checkUnsubscribe refuses an address that can't be that of List-Unsubscribe.
func checkUnsubscribe(raw *string) []errs.Field {
	if raw == nil || notifyapi.IsUnsubscribeURL(*raw) {
		return nil
	}
	return []errs.Field{{Location: "body.unsubscribe_url", Message: "must be an https address without user and fragment"}}
}

// attachments checks the files and returns them with their media types in lower case.
func attachments(list []notifyapi.Attachment) ([]notifyapi.Attachment, []errs.Field) {
	var fields []errs.Field
	total := 0
	checked := make([]notifyapi.Attachment, 0, len(list))
	for i, file := range list {
		refuse := func(name, message string) {
			fields = append(fields, errs.Field{Location: fmt.Sprintf("body.attachments[%d].%s", i, name), Message: message})
		}
		if file.Filename = strings.TrimSpace(file.Filename); !isFilename(file.Filename) {
			refuse("filename", "must be a file's name in one line, without a path and without invisible characters")
		}
		media, params, err := mime.ParseMediaType(file.MediaType)
		if err != nil || len(params) > 0 || strings.Contains(file.MediaType, ";") || !strings.Contains(media, "/") {
			refuse("media_type", "must be a media type such as image/png, without parameters")
		}
		file.MediaType, total = media, total+len(file.Content)
		checked = append(checked, file)
	}
	if total > notifyapi.MaxAttachmentBytes {
		fields = append(fields, errs.Field{Location: "body.attachments", Message: "must be at most 5 MiB together"})
	}
	return checked, fields
}

// isFilename reports whether a name can be shown and is no path.
func isFilename(name string) bool {
	hidden := func(c rune) bool {
		return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || c == '/' || c == '\\'
	}
	return name != "" && name != "." && name != ".." && !strings.ContainsFunc(name, hidden)
}

// checkLines refuses control characters in fields that become mail headers,
// which could otherwise add headers of their own.
func checkLines(r notifyapi.Request) []errs.Field {
	var fields []errs.Field
	check := func(location, value string) {
		if strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }) {
			fields = append(fields, errs.Field{Location: location, Message: "must be one line without control characters"})
		} else if strings.TrimSpace(value) == "" {
			fields = append(fields, errs.Field{Location: location, Message: "must not be blank"})
		}
	}
	check("body.subject", r.Subject)
	check("body.requester", r.Requester)
	if r.Reference != nil {
		check("body.reference", *r.Reference)
	}
	if r.Thread != nil {
		check("body.thread", *r.Thread)
	}
	return fields
}

// addresses checks each address and drops repeated ones, compared in their
// canonical form.
func addresses(list []string) ([]string, []errs.Field) {
	var fields []errs.Field
	emails := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, raw := range list {
		email, err := address.Parse(raw)
		if err != nil {
			fields = append(fields, errs.Field{Location: fmt.Sprintf("body.recipients[%d]", i), Message: err.Error()})
			continue
		}
		if !seen[email] {
			seen[email] = true
			emails = append(emails, email)
		}
	}
	return emails, fields
}

var (
	errMissingKey = errs.New(errs.BadRequest, errs.CodeIdempotencyMissing,
		"The Idempotency-Key header is required, so that a repeated request is stored once.")
	errInvalidKey = errs.Validation(errs.Field{
		Location: "header.Idempotency-Key", Message: "must be 1 to 200 visible ASCII characters",
	})
)

// checkKey checks the Idempotency-Key; "" is a request without the header.
func checkKey(key string) error {
	if key == "" {
		return errMissingKey
	}
	isVisible := func(c rune) bool { return c > ' ' && c < 0x7f }
	if len(key) > maxKeyLength || strings.ContainsFunc(key, func(c rune) bool { return !isVisible(c) }) {
		return errInvalidKey
	}
	return nil
}

// bodyHash identifies a request independently of the order and spacing of its JSON,
// and of whether it names the normal priority.
func bodyHash(r notifyapi.Request) ([]byte, error) {
	if r.Priority == notifyapi.PriorityNormal {
		r.Priority = ""
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("hash body: %w", err)
	}
	sum := sha256.Sum256(body)
	return sum[:], nil
}
