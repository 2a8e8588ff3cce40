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

// InboundMails are the mails that came in and params describes.
func InboundMails(ctx context.Context, c *ClientWithResponses, params ListInboundMailsParams) iter.Seq2[InboundMail, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]InboundMail, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListInboundMailsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// DeliveryReports are the reports of mail servers about the mails to a recipient.
func DeliveryReports(ctx context.Context, c *ClientWithResponses, id uuid.UUID, recipientID uuid.UUID, params ListDeliveryReportsParams) iter.Seq2[Report, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Report, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListDeliveryReportsWithResponse(ctx, id, recipientID, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Suppressions are the addresses to which nothing is sent.
func Suppressions(ctx context.Context, c *ClientWithResponses, params ListSuppressionsParams) iter.Seq2[Suppression, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Suppression, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListSuppressionsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}
