package operations

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/text"
)

// maxReason is the length of a reason in characters.
const maxReason = 500

// Suppressions lists the addresses that are mailed no more, newest first; q "" means
// all.
func (s *Service) Suppressions(ctx context.Context, q string, limit int, cursor string) (notifyapi.Page[notifyapi.Suppression], error) {
	return ask(ctx, "list suppressions", func(ctx context.Context) (notifyapi.Page[notifyapi.Suppression], error) {
		return s.client.Suppressions(ctx, q, limit, cursor)
	})
}

// Suppress puts an address on the list and returns its entry.
func (s *Service) Suppress(ctx context.Context, r notifyapi.SuppressionRequest) (notifyapi.Suppression, error) {
	var fields []errs.Field
	email, err := address.Parse(r.Email)
	if err != nil {
		fields = append(fields, errs.Field{Location: "body.email", Message: err.Error()})
	}
	reason, err := text.Line(r.Reason, maxReason)
	if err != nil {
		fields = append(fields, errs.Field{Location: "body.reason", Message: err.Error()})
	}
	if len(fields) > 0 {
		return notifyapi.Suppression{}, errs.Validation(fields...)
	}
	return ask(ctx, "suppress an address", func(ctx context.Context) (notifyapi.Suppression, error) {
		return s.client.Suppress(ctx, notifyapi.SuppressionRequest{Email: email, Reason: reason})
	})
}

// Unsuppress takes an address from the list, if it is there.
func (s *Service) Unsuppress(ctx context.Context, email string) error {
	email, err := address.Parse(email)
	if err != nil {
		return errs.Validation(errs.Field{Location: "path.email", Message: err.Error()})
	}
	_, err = ask(ctx, "remove a suppression", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.client.Unsuppress(ctx, email)
	})
	return err
}

// SuppressionOf returns the entry of a user's address; nil when it is mailed as
// usual.
func (s *Service) SuppressionOf(ctx context.Context, user uuid.UUID) (*notifyapi.Suppression, error) {
	u, err := s.users.User(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("read a user: %w", err)
	}
	email, err := address.Parse(u.Email)
	if err != nil { // an erased user has no address
		return nil, nil //nolint:nilerr,nilnil // such a user is not mailed, so that nothing is suppressed
	}
	found, err := ask(ctx, "read a suppression", func(ctx context.Context) (notifyapi.Suppression, error) {
		return s.client.Suppression(ctx, email)
	})
	switch {
	case errs.HasCode(err, errs.CodeNotFound):
		return nil, nil //nolint:nilnil // not suppressed
	case err != nil:
		return nil, err
	}
	return &found, nil
}
