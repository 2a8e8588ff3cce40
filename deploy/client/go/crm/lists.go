package crm

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"fixdesk/deploy/client/go/internal/transport"
)

// The functions of this file read a whole list, page by page, each page when it is
// needed. params.Limit is the size of a page; an error ends the list.

// Tickets are the tickets that the caller may see and params describes.
func Tickets(ctx context.Context, c *ClientWithResponses, params ListTicketsParams) iter.Seq2[ListedTicket, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]ListedTicket, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListTicketsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Comments are the comments of a ticket.
func Comments(ctx context.Context, c *ClientWithResponses, id string, params ListCommentsParams) iter.Seq2[Comment, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Comment, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListCommentsWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// TicketEvents are the events of a ticket, the oldest first.
func TicketEvents(ctx context.Context, c *ClientWithResponses, id string, params ListEventsParams) iter.Seq2[Event, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Event, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListEventsWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// TicketNotifications are the mails of a ticket with their status, recipient by recipient.
func TicketNotifications(ctx context.Context, c *ClientWithResponses, id string, params ListTicketNotificationsParams) iter.Seq2[TicketMail, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]TicketMail, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListTicketNotificationsWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Engineers are the engineers and the number of their active tickets.
func Engineers(ctx context.Context, c *ClientWithResponses, params ListEngineersParams) iter.Seq2[Engineer, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Engineer, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListEngineersWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Sessions are the caller's sessions.
func Sessions(ctx context.Context, c *ClientWithResponses, params ListSessionsParams) iter.Seq2[Session, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Session, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListSessionsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Registrations are the registrations of engineers and admins.
func Registrations(ctx context.Context, c *ClientWithResponses, params ListRegistrationsParams) iter.Seq2[Registration, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Registration, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListRegistrationsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Users are all accounts.
func Users(ctx context.Context, c *ClientWithResponses, params ListUsersParams) iter.Seq2[User, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]User, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListUsersWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// UserSessions are the sessions of an account.
func UserSessions(ctx context.Context, c *ClientWithResponses, id uuid.UUID, params ListUserSessionsParams) iter.Seq2[Session, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Session, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListUserSessionsWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// AuditEvents are the entries of the audit log.
func AuditEvents(ctx context.Context, c *ClientWithResponses, params ListAuditEventsParams) iter.Seq2[AuditEvent, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]AuditEvent, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListAuditEventsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Keys are the caller's API keys.
func Keys(ctx context.Context, c *ClientWithResponses, params ListKeysParams) iter.Seq2[Key, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Key, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListKeysWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// OutboxEntries are the entries of the outbox.
func OutboxEntries(ctx context.Context, c *ClientWithResponses, params ListOutboxParams) iter.Seq2[OutboxEntry, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]OutboxEntry, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListOutboxWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// SentNotifications are the notifications of all tickets and accounts.
func SentNotifications(ctx context.Context, c *ClientWithResponses, params ListSentNotificationsParams) iter.Seq2[Delivery, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Delivery, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListSentNotificationsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// Recipients are all recipients of a notification.
func Recipients(ctx context.Context, c *ClientWithResponses, id uuid.UUID, params ListRecipientsParams) iter.Seq2[DeliveryRecipient, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]DeliveryRecipient, *string, error) {
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
func Attempts(ctx context.Context, c *ClientWithResponses, id uuid.UUID, recipientID uuid.UUID, params ListAttemptsParams) iter.Seq2[DeliveryAttempt, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]DeliveryAttempt, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListAttemptsWithResponse(ctx, id, recipientID, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// DeliveryReports are the reports of mail servers about the mails to a recipient.
func DeliveryReports(ctx context.Context, c *ClientWithResponses, id uuid.UUID, recipientID uuid.UUID, params ListDeliveryReportsParams) iter.Seq2[DeliveryReport, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]DeliveryReport, *string, error) {
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

// Followers are the people who get the mails of a ticket like its reporter.
func Followers(ctx context.Context, c *ClientWithResponses, id string, params ListFollowersParams) iter.Seq2[Follower, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Follower, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListFollowersWithResponse(ctx, id, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}

// InboundMails are the mails that came in, with what became of each.
func InboundMails(ctx context.Context, c *ClientWithResponses, params ListInboundMailsParams) iter.Seq2[Mail, error] {
	return transport.Items(params.Cursor, func(cursor *string) ([]Mail, *string, error) {
		p := params
		p.Cursor = cursor
		r, err := c.ListInboundMailsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return r.JSON200.Items, r.JSON200.NextCursor, nil
	})
}
