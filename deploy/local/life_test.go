package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/deploy/client/go/crm"
	"fixdesk/deploy/client/go/notification"
	"fixdesk/pkg/dev/launch"
)

// The functions up to mails are what docs/clients.md shows.

func openSession(ctx context.Context, url, email, password string) (*crm.ClientWithResponses, error) {
	anyone, err := crm.New(url, crm.Config{})
	if err != nil {
		return nil, err
	}
	session, err := anyone.LoginWithResponse(ctx, crm.LoginRequest{Email: email, Password: password})
	if err != nil {
		return nil, err
	}
	return crm.New(url, crm.Config{Token: crm.Bearer(session.JSON200.AccessToken)})
}

func register(ctx context.Context, url, email, password string) error {
	anyone, err := crm.New(url, crm.Config{})
	if err != nil {
		return err
	}
	engineer := crm.RegisterRequest{Name: "Eve", Email: email, Password: password, Role: new(crm.UserRoleEngineer)}
	if _, err := anyone.RegisterWithResponse(ctx, engineer); err != nil {
		return err
	}
	_, err = openSession(ctx, url, email, password)
	if e, ok := errors.AsType[*crm.Error](err); ok && e.Code == crm.ProblemCodeAccountPending {
		return nil
	}
	return fmt.Errorf("sign in before the approval: %w", err)
}

func approve(ctx context.Context, admin *crm.ClientWithResponses, email string) error {
	pending := crm.ListRegistrationsParams{Status: new(crm.UserStatusPending)}
	for registration, err := range crm.Registrations(ctx, admin, pending) {
		if err != nil {
			return err
		}
		if registration.Email == email {
			_, err := admin.ApproveRegistrationWithResponse(ctx, registration.ID)
			return err
		}
	}
	return errors.New("no registration of that address waits")
}

func raise(ctx context.Context, customer *crm.ClientWithResponses, title string) (*crm.Ticket, error) {
	once := crm.CreateTicketParams{IdempotencyKey: new(uuid.NewString())}
	request := crm.CreateTicketRequest{Title: title, Description: "It smokes and smells."}
	first, err := customer.CreateTicketWithResponse(ctx, &once, request)
	if err != nil {
		return nil, err
	}
	// The same request again, as after a lost answer, gets the same ticket.
	again, err := customer.CreateTicketWithResponse(ctx, &once, request)
	if err != nil {
		return nil, err
	}
	if again.JSON201.ID != first.JSON201.ID {
		return nil, errors.New("there are two tickets")
	}
	return first.JSON201, nil
}

func accept(ctx context.Context, engineer *crm.ClientWithResponses, id string) error {
	if _, err := engineer.AcceptTicketWithResponse(ctx, id); err != nil {
		return err
	}
	question := crm.CreateCommentRequest{Body: "Is it still smoking?"}
	if _, err := engineer.CreateCommentWithResponse(ctx, id, nil, question); err != nil {
		return err
	}
	_, err := engineer.UpdateTicketWithResponse(ctx, id, nil, crm.UpdateTicketRequest{
		Status: new(crm.TicketStatusBlocked), WaitingFor: new(crm.WaitingForCustomer), BlockedReason: new("The customer looks."),
	})
	return err
}

func edit(ctx context.Context, customer *crm.ClientWithResponses, id string) error {
	read, err := customer.GetTicketWithResponse(ctx, id)
	if err != nil {
		return err
	}
	unchanged := crm.UpdateTicketParams{IfMatch: read.Headers200.ETag}
	change := crm.UpdateTicketRequest{Title: new("Printer on fire, second floor")}
	if _, err := customer.UpdateTicketWithResponse(ctx, id, &unchanged, change); err != nil {
		return err
	}
	change.Title = new("Printer on fire, third floor") // the ticket has changed since it was read
	_, err = customer.UpdateTicketWithResponse(ctx, id, &unchanged, change)
	if e, ok := errors.AsType[*crm.Error](err); ok && e.Code == crm.ProblemCodeVersionMismatch {
		return nil
	}
	return fmt.Errorf("change an older version: %w", err)
}

func finish(ctx context.Context, engineer, customer *crm.ClientWithResponses, id string) (*crm.Ticket, error) {
	// The answer takes the ticket, which waits for the customer, back to in_progress.
	if _, err := customer.CreateCommentWithResponse(ctx, id, nil, crm.CreateCommentRequest{Body: "No."}); err != nil {
		return nil, err
	}
	resolved := crm.UpdateTicketRequest{Status: new(crm.TicketStatusResolved), Resolution: new("A new fuser.")}
	if _, err := engineer.UpdateTicketWithResponse(ctx, id, nil, resolved); err != nil {
		return nil, err
	}
	reopened := crm.UpdateTicketRequest{Status: new(crm.TicketStatusOpen)}
	if _, err := customer.UpdateTicketWithResponse(ctx, id, nil, reopened); err != nil {
		return nil, err
	}
	if _, err := engineer.AcceptTicketWithResponse(ctx, id); err != nil {
		return nil, err
	}
	resolved.Resolution = new("A new printer.")
	if _, err := engineer.UpdateTicketWithResponse(ctx, id, nil, resolved); err != nil {
		return nil, err
	}
	closed, err := customer.UpdateTicketWithResponse(ctx, id, nil, crm.UpdateTicketRequest{Status: new(crm.TicketStatusClosed)})
	if err != nil {
		return nil, err
	}
	return closed.JSON200, nil
}

func numbers(ctx context.Context, customer *crm.ClientWithResponses) (found []int64, err error) {
	for ticket, err := range crm.Tickets(ctx, customer, crm.ListTicketsParams{
		Status: []crm.TicketStatus{crm.TicketStatusOpen, crm.TicketStatusInProgress},
		Sort:   new(crm.TicketSortCreatedAt), Limit: new(int64(1)),
	}) {
		if err != nil {
			return nil, err
		}
		found = append(found, ticket.Number)
	}
	return found, nil
}

func follow(ctx context.Context, engineer *crm.ClientWithResponses, ticket uuid.UUID, last crm.EventKind, after string) (kinds []crm.EventKind, id string, err error) {
	for e, err := range crm.Stream(ctx, engineer, after) {
		if err != nil {
			return nil, "", err
		}
		if e.Event.TicketID != ticket {
			continue
		}
		kinds = append(kinds, e.Event.Kind)
		if e.Event.Kind == last {
			return kinds, e.ID, nil
		}
	}
	return nil, "", errors.New("the stream ended")
}

func mails(ctx context.Context, engineer *crm.ClientWithResponses, notifications *notification.ClientWithResponses, ticket string) (sent []string, err error) {
	for mail, err := range crm.TicketNotifications(ctx, engineer, ticket, crm.ListTicketNotificationsParams{}) {
		if err != nil {
			return nil, err
		}
		if mail.Status == crm.MailStatusPending {
			continue // not yet at the notification service
		}
		only := notification.ListRecipientsParams{Status: new(notification.RecipientStatusSent)}
		for recipient, err := range notification.Recipients(ctx, notifications, mail.ID, only) {
			if err != nil {
				return nil, err
			}
			sent = append(sent, recipient.Email)
		}
	}
	return sent, nil
}

// oneEngineer waits until no other test has an engineer at the common stack, so that
// the tickets of this test are assigned to its own. The test suspends the engineer.
func oneEngineer(t *testing.T) *running {
	t.Helper()
	r := commonStack(t)
	common.engineer.Lock()
	t.Cleanup(common.engineer.Unlock)
	return r
}

// people are the clients of three sessions.
type people struct{ admin, engineer, customer *crm.ClientWithResponses }

// newPeople registers an engineer and a customer with these addresses.
func newPeople(ctx context.Context, t *testing.T, r *running, eve, carl string) (p people) {
	t.Helper()
	session := func(email, password string) *crm.ClientWithResponses {
		client, err := openSession(ctx, r.crm, email, password)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	a := r.admin(t)
	p.admin = session(a.email, a.password)
	if err := register(ctx, r.crm, eve, testPassword); err != nil {
		t.Fatal(err)
	}
	if err := approve(ctx, p.admin, eve); err != nil {
		t.Fatal(err)
	}
	anyone, err := crm.New(r.crm, crm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anyone.RegisterWithResponse(ctx, crm.RegisterRequest{Name: "Carl", Email: carl, Password: testPassword}); err != nil {
		t.Fatal(err)
	}
	p.engineer, p.customer = session(eve, testPassword), session(carl, testPassword)
	return p
}

// serviceToken returns a token for the notification service.
func (r *running) serviceToken(t *testing.T) string {
	t.Helper()
	token, err := command(r.state, nil, "token", "--scope", "notifications:read").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

func TestGoClientFollowsATicketToItsEnd(t *testing.T) {
	t.Parallel()
	r := oneEngineer(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	eve, carl := uuid.NewString()+"@eve.example", uuid.NewString()+"@carl.example"
	p := newPeople(ctx, t, r, eve, carl)

	ticket, err := raise(ctx, p.customer, "Printer on fire")
	if err != nil || ticket.Assignee == nil || ticket.Assignee.Name != "Eve" {
		t.Fatalf("raised %+v, %v", ticket, err)
	}
	var others []int64
	for _, title := range []string{"Printer on ice", "No printer"} {
		other, err := raise(ctx, p.customer, title)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other.Number)
	}
	id := ticket.ID.String()
	if err := accept(ctx, p.engineer, id); err != nil {
		t.Fatal(err)
	}
	if err := edit(ctx, p.customer, id); err != nil {
		t.Fatal(err)
	}
	closed, err := finish(ctx, p.engineer, p.customer, id)
	if err != nil || closed.Status != crm.TicketStatusClosed || closed.Resolution == nil || *closed.Resolution != "A new printer." {
		t.Errorf("closed %+v, %v", closed, err)
	}
	if found, err := numbers(ctx, p.customer); err != nil || !slices.Equal(found, others) {
		t.Errorf("listed %v, want %v (%v)", found, others, err)
	}
	checkStream(ctx, t, p.engineer, ticket.ID)
	r.checkMails(ctx, t, p, id, eve, carl)

	suspended := crm.ChangeUserRequest{Status: new(crm.UserStatusSuspended)}
	if _, err := p.admin.ChangeUserWithResponse(ctx, ticket.Assignee.ID, nil, suspended); err != nil {
		t.Fatal(err)
	}
	_, err = p.engineer.GetMeWithResponse(ctx)
	if e, ok := errors.AsType[*crm.Error](err); !ok || e.Status != http.StatusUnauthorized {
		t.Errorf("a suspended engineer's request: %v", err)
	}
}

// checkStream reads the events of the ticket in three parts, each from where the one
// before ended.
func checkStream(ctx context.Context, t *testing.T, engineer *crm.ClientWithResponses, ticket uuid.UUID) {
	t.Helper()
	position, all := "0", []crm.EventKind(nil) // 0 is before the first event
	for _, last := range []crm.EventKind{"commented", "reopened", "accepted"} {
		kinds, id, err := follow(ctx, engineer, ticket, last, position)
		if err != nil {
			t.Fatal(err)
		}
		position, all = id, append(all, kinds...)
	}
	var listed []crm.EventKind
	for e, err := range crm.TicketEvents(ctx, engineer, ticket.String(), crm.ListEventsParams{Limit: new(int64(2))}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, e.Kind)
	}
	if len(all) < 8 || len(listed) < len(all) || !slices.Equal(all, listed[:len(all)]) {
		t.Errorf("the stream has %v, the list %v", all, listed)
	}
}

// checkMails waits until both were mailed.
func (r *running) checkMails(ctx context.Context, t *testing.T, p people, ticket string, emails ...string) {
	t.Helper()
	notifications, err := notification.New(r.notify, notification.Config{Token: notification.Bearer(r.serviceToken(t))})
	if err != nil {
		t.Fatal(err)
	}
	for {
		sent, err := mails(ctx, p.engineer, notifications, ticket)
		if err != nil {
			t.Fatalf("%v, after the mails to %v", err, sent)
		}
		if !slices.ContainsFunc(emails, func(email string) bool { return !slices.Contains(sent, email) }) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// typescript is the folder of the TypeScript client.
func typescript(t *testing.T) string {
	t.Helper()
	root, err := launch.Repository()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "deploy", "client", "typescript")
}

func TestTypeScriptClientFollowsATicketToItsEnd(t *testing.T) {
	if os.Getenv("FIXDESK_TEST_TYPESCRIPT") == "" {
		t.Skip("needs node and the packages of the TypeScript client: make test-clients")
	}
	r := oneEngineer(t)
	a := r.admin(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "dist/test/life.test.js")
	cmd.Dir = typescript(t)
	cmd.Env = append(os.Environ(), "CRM_URL="+r.crm, "NOTIFICATION_URL="+r.notify,
		"ADMIN_EMAIL="+a.email, "ADMIN_PASSWORD="+a.password, "NOTIFICATION_TOKEN="+r.serviceToken(t))
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "follows a ticket to its end") {
		t.Errorf("%v:\n%s\n%s", err, output, r.logs())
	}
}

// casts are what the clients make unnecessary.
var casts = map[string]*regexp.Regexp{
	"go": regexp.MustCompile(`\bany\b|\.\([\w*]|\bmap\[|\bstruct\b`),
	"ts": regexp.MustCompile(`\bany\b|\bas\b|\w!|\btype \w+ =|\binterface\b`),
}

func TestClientsPageShowsTestedCode(t *testing.T) {
	t.Parallel()
	root, err := launch.Repository()
	if err != nil {
		t.Fatal(err)
	}
	read := func(names ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{root}, names...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("docs", "clients.md")
	for language, source := range map[string]string{
		"go": read("deploy", "local", "life_test.go"),
		"ts": read("deploy", "client", "typescript", "test", "life.test.ts"),
	} {
		blocks := codeBlocks(page, language)
		if len(blocks) < 8 {
			t.Errorf("control: the page has %d blocks of %s", len(blocks), language)
		}
		for _, block := range blocks {
			if !strings.Contains(source, block) {
				t.Errorf("this is not in the test:\n%s", block)
			}
		}
		code := regexp.MustCompile("//.*").ReplaceAllString(strings.Join(blocks, ""), "")
		if cast := casts[language].FindString(code); cast != "" {
			t.Errorf("the life of a ticket in %s needs %q", language, cast)
		}
	}
}

// codeBlocks are the blocks of a page in a language.
func codeBlocks(page, language string) (blocks []string) {
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}
