package notification

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"fixdesk/deploy/client/go/internal/transport"
)

// The functions of this file read a whole list, page by page, each page when it is
// needed. params.Limit is the size of a page; an error ends the list.

// Notifications are the notifications that params describes.
func Notifications(ctx context.Context, c *ClientWithResponses, params ListNotificationsParams) iter.Seq2[Notification, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Notification, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListNotificationsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Recipients are all recipients of a notification.
func Recipients(ctx context.Context, c *ClientWithResponses, id uuid.UUID, params ListRecipientsParams) iter.Seq2[Recipient, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Recipient, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListRecipientsWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Attempts are the attempts to send to a recipient.
func Attempts(ctx context.Context, c *ClientWithResponses, id uuid.UUID, recipientID uuid.UUID, params ListAttemptsParams) iter.Seq2[Attempt, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Attempt, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListAttemptsWithResponse(ctx, id, recipientID, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}
