package identity

import (
	"context"
	"sync"
	"testing"

	"fixdesk/pkg/errs"
)

// Requests of others keep statements under way all the time. The control is
// TestSharedReadIsNeverOlderThanItsCall in fixdesk/pkg/pg: a request that joined one
// would get the decision before.
func TestDecisionHoldsOnTheNextRequestWhileManyShareReads(t *testing.T) {
	env := newTestEnv(t)
	user, others := env.approved(RoleCustomer), env.approved(RoleCustomer)
	authenticate := func(c *caller) error {
		_, err := env.service.Authenticate(context.Background(), c.access, anyRole, "")
		return err
	}
	var reading sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := authenticate(others); err != nil {
					t.Errorf("somebody else is refused: %v", err)
					return
				}
			}
		})
	}
	for turn := range 40 {
		env.exec("update users set status = 'suspended' where id = $1", user.id)
		if e := errs.As(authenticate(user)); e == nil || e.Code != errs.CodeInvalidToken {
			t.Fatalf("turn %d: a suspended user got %v", turn, e)
		}
		env.exec("update users set status = 'approved' where id = $1", user.id)
		if err := authenticate(user); err != nil {
			t.Fatalf("turn %d: an approved user got %v", turn, err)
		}
	}
	close(stop)
	reading.Wait()
}

func TestSessionOfAnotherUserIsRefusedThoughItIsValid(t *testing.T) {
	env := newTestEnv(t)
	user, other := env.approved(RoleCustomer).principal(), env.approved(RoleCustomer).principal()
	mixed := user
	mixed.UserID = other.UserID
	if e := errs.As(env.service.Check(t.Context(), mixed)); e == nil || e.Code != errs.CodeInvalidToken {
		t.Errorf("got %v", e)
	}
	if err := env.service.Check(t.Context(), user); err != nil {
		t.Errorf("the control: %v", err)
	}
}
