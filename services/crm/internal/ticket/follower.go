package ticket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
)

// MaxFollowers is how many people follow a ticket at most.
const MaxFollowers = 50

// Follower is somebody who is mailed what the reporter of a ticket is mailed, reads what
// the reporter reads, and comments. They change nothing else.
type Follower struct {
	Person    // with Email
	CreatedAt time.Time
	AddedBy   Person
}

// FollowerPosition is a place in the list of followers.
type FollowerPosition struct {
	Name string    `json:"name"`
	ID   uuid.UUID `json:"id"`
}

// Followers lists the followers of a ticket by name, at most n that follow the
// position; nil is the beginning.
func (s *Service) Followers(ctx context.Context, v Viewer, id uuid.UUID, after *FollowerPosition, n int) ([]Follower, error) {
	if _, err := s.Get(ctx, v, id); err != nil {
		return nil, err
	}
	if after == nil {
		after = &FollowerPosition{}
	}
	rows, err := crmdb.New(s.pool).FollowerList(ctx, crmdb.FollowerListParams{
		TicketID: id, AfterName: after.Name, AfterID: after.ID, Most: int32(n), //nolint:gosec // a page has at most 100
	})
	if err != nil {
		return nil, fmt.Errorf("list followers: %w", err)
	}
	followers := make([]Follower, len(rows))
	for i, r := range rows {
		followers[i] = Follower{
			Person:    Person{ID: r.UserID, Name: r.Name, Email: r.Email},
			CreatedAt: r.CreatedAt, AddedBy: Person{ID: r.AddedBy, Name: r.AddedByName},
		}
	}
	return followers, nil
}

// AddFollower makes the person with the address a follower; an unknown address becomes
// a customer with the name. Adding a follower again changes nothing. The errors are
// validation_failed for an address that can't follow, and conflict beyond MaxFollowers.
func (s *Service) AddFollower(ctx context.Context, v Viewer, id uuid.UUID, email, name string) (Follower, error) {
	var f Follower
	_, err := s.change(ctx, v, id, func(u unit, t Ticket, now time.Time) (Ticket, error) {
		person, err := followerFor(ctx, u.q, v, t, email, name, now)
		if err != nil {
			return t, err
		}
		f = Follower{Person: person, CreatedAt: now, AddedBy: Person{ID: v.ID, Name: v.Name}}
		n, err := u.q.FollowerAdd(ctx, crmdb.FollowerAddParams{TicketID: id, UserID: person.ID, AddedBy: v.ID, CreatedAt: now})
		if err != nil {
			return t, fmt.Errorf("add follower: %w", err)
		}
		if n == 0 {
			f.CreatedAt, f.AddedBy, err = since(ctx, u.q, id, person.ID)
			return t, err
		}
		if count, err := u.q.FollowerCount(ctx, id); err != nil || count > MaxFollowers {
			return t, errors.Join(err, errs.New(errs.Conflict, errs.CodeConflict, fmt.Sprintf("A ticket has at most %d followers.", MaxFollowers)))
		}
		return t, addEvent(ctx, u.later, id, EventFollowerAdded, v.ID, true, changesOfFollower(nil, &person), now)
	})
	return f, err
}

// since is when a follower was added, and by whom.
func since(ctx context.Context, q *crmdb.Queries, id, follower uuid.UUID) (time.Time, Person, error) {
	row, err := q.FollowerGet(ctx, crmdb.FollowerGetParams{TicketID: id, UserID: follower})
	if err != nil {
		return time.Time{}, Person{}, fmt.Errorf("read since when somebody follows: %w", err)
	}
	return row.CreatedAt, Person{ID: row.AddedBy, Name: row.AddedByName}, nil
}

// followerFor finds or makes the account of a new follower.
func followerFor(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket, email, name string, now time.Time) (Person, error) {
	refuse := func(message string) error {
		return errs.Validation(errs.Field{Location: "body.email", Message: message})
	}
	id, err := identity.EnsureCustomer(ctx, q, now, v.ID, email, name)
	if errors.Is(err, address.ErrInvalid) {
		return Person{}, refuse("must be an e-mail address")
	}
	if err != nil {
		return Person{}, err
	}
	user, err := q.UserGet(ctx, id)
	switch {
	case err != nil:
		return Person{}, fmt.Errorf("read follower: %w", err)
	case user.Status != crmdb.UserStatusApproved:
		return Person{}, refuse("must not belong to an account that is not approved")
	case id == t.Reporter.ID:
		return Person{}, refuse("must not be the reporter's, who gets the same mails already")
	}
	return Person{ID: user.ID, Name: user.Name, Email: user.Email}, nil
}

// RemoveFollower ends what a person is mailed about a ticket and reads of it. The error is not_found
// for somebody who doesn't follow it.
func (s *Service) RemoveFollower(ctx context.Context, v Viewer, id, follower uuid.UUID) error {
	_, err := s.change(ctx, v, id, func(u unit, t Ticket, now time.Time) (Ticket, error) {
		n, err := u.q.FollowerRemove(ctx, crmdb.FollowerRemoveParams{TicketID: id, UserID: follower})
		if err != nil {
			return t, fmt.Errorf("remove follower: %w", err)
		}
		if n == 0 {
			return t, errs.Missing()
		}
		people, err := u.q.AssignmentPeople(ctx, []uuid.UUID{follower})
		if err != nil {
			return t, fmt.Errorf("read follower: %w", err)
		}
		former := Person{ID: follower}
		for _, p := range people {
			former.Name = p.Name
		}
		return t, addEvent(ctx, u.later, id, EventFollowerRemoved, v.ID, true, changesOfFollower(&former, nil), now)
	})
	return err
}

func changesOfFollower(from, to *Person) map[string]any {
	named := func(p *Person) any {
		if p == nil {
			return nil
		}
		return assignment.Person{ID: p.ID, Name: p.Name}
	}
	return map[string]any{"follower": map[string]any{"from": named(from), "to": named(to)}}
}
