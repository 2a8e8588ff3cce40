// Package suppression keeps the list of addresses that are mailed no more: those
// whose mails came back for good, whose owners complained, and those that clients
// add.
//
// It owns the rows of suppressions. Package delivery reads them when it claims
// recipients. This package must not know SMTP.
package suppression

import (
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
)

// Suppression is an address that is mailed no more.
type Suppression struct {
	ID        uuid.UUID // a UUIDv7, which orders the list
	Email     string    // in its canonical form
	Source    notifyapi.SuppressionSource
	Reason    string
	CreatedAt time.Time
}

// canonical checks an address and returns its canonical form.
func canonical(location, email string) (string, []errs.Field) {
	parsed, err := address.Parse(email)
	if err != nil {
		return "", []errs.Field{{Location: location, Message: err.Error()}}
	}
	return parsed, nil
}

// checkReason requires one line that is not blank.
func checkReason(reason string) []errs.Field {
	breaks := func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }
	switch {
	case strings.ContainsFunc(reason, breaks):
		return []errs.Field{{Location: "body.reason", Message: "must be one line without control characters"}}
	case strings.TrimSpace(reason) == "":
		return []errs.Field{{Location: "body.reason", Message: "must not be blank"}}
	}
	return nil
}
