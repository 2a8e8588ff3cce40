// Package demo fills an empty Fixdesk with a believable month: people, and tickets with
// conversations. It does all by the API, as people would, and then spreads what
// happened over the days before.
package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"fixdesk/deploy/client/go/crm"
)

// Config says what is filled.
type Config struct {
	URL                       string // of the CRM
	DatabaseURL               string // of its database
	AdminEmail, AdminPassword string
	Password                  string // of everybody in the demonstration
	Tickets                   int
}

// ErrNotEmpty means that there are tickets already.
var ErrNotEmpty = errors.New("there are tickets already; the demonstration is for an empty Fixdesk")

// person is somebody in the demonstration, signed in.
type person struct {
	id, email string
	client    *crm.ClientWithResponses
}

// month fills one Fixdesk.
type month struct {
	Config
	admin     *crm.ClientWithResponses
	customers []person
	engineers map[string]person // by id
	random    *rand.Rand        // the same each time
}

// Fill adds people and tickets. It returns ErrNotEmpty, and changes nothing, where
// there is a ticket.
func Fill(ctx context.Context, c Config) error {
	m := &month{Config: c, engineers: map[string]person{}, random: rand.New(rand.NewPCG(1, 2))}
	var err error
	if m.admin, err = signIn(ctx, c.URL, c.AdminEmail, c.AdminPassword); err != nil {
		return fmt.Errorf("sign in as admin: %w", err)
	}
	counts, err := m.admin.CountTicketsWithResponse(ctx, &crm.CountTicketsParams{})
	if err != nil {
		return err
	}
	if counts.JSON200.Total > 0 {
		return ErrNotEmpty
	}
	if err := m.addPeople(ctx); err != nil {
		return fmt.Errorf("add people: %w", err)
	}
	for n := range c.Tickets {
		if err := m.addTicket(ctx, n); err != nil {
			return fmt.Errorf("ticket %d: %w", n+1, err)
		}
	}
	if err := spread(ctx, c.DatabaseURL); err != nil {
		return fmt.Errorf("spread the tickets over a month: %w", err)
	}
	return nil
}

func signIn(ctx context.Context, url, email, password string) (*crm.ClientWithResponses, error) {
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

// Engineer and Customer are two people of the demonstration whose addresses are
// printed.
const (
	Engineer = "ada.byrne@fixdesk.example"
	Customer = "leila.haddad@fixdesk.example"
)

func (m *month) addPeople(ctx context.Context) error {
	for _, name := range engineers {
		p, err := m.register(ctx, name, crm.UserRoleEngineer)
		if err != nil {
			return err
		}
		m.engineers[p.id] = p
	}
	for _, name := range customers {
		p, err := m.register(ctx, name, crm.UserRoleCustomer)
		if err != nil {
			return err
		}
		m.customers = append(m.customers, p)
	}
	return nil
}

func (m *month) register(ctx context.Context, name string, role crm.UserRole) (person, error) {
	anyone, err := crm.New(m.URL, crm.Config{})
	if err != nil {
		return person{}, err
	}
	email := addressOf(name)
	user, err := anyone.RegisterWithResponse(ctx, crm.RegisterRequest{Name: name, Email: email, Password: m.Password, Role: &role})
	if err != nil {
		return person{}, err
	}
	if role == crm.UserRoleEngineer {
		if _, err := m.admin.ApproveRegistrationWithResponse(ctx, user.JSON201.ID); err != nil {
			return person{}, err
		}
	}
	client, err := signIn(ctx, m.URL, email, m.Password)
	return person{user.JSON201.ID.String(), email, client}, err
}

// addTicket raises a ticket and lets it go as far as it would have by today: the
// older, the likelier it is closed.
func (m *month) addTicket(ctx context.Context, n int) error {
	topic := topics[m.random.IntN(len(topics))]
	reporter := m.customers[m.random.IntN(len(m.customers))]
	title := fmt.Sprintf(topic.title, places[m.random.IntN(len(places))])
	created, err := reporter.client.CreateTicketWithResponse(ctx, nil, crm.CreateTicketRequest{
		Title: title, Description: topic.description, Priority: new(priorities[m.random.IntN(len(priorities))]),
	})
	if err != nil {
		return err
	}
	t := created.JSON201
	if t.Assignee == nil {
		return errors.New("nobody was assigned")
	}
	conversation := conversation{ctx: ctx, id: strconv.FormatInt(t.Number, 10), reporter: reporter, engineer: m.engineers[t.Assignee.ID.String()]}
	age := float64(m.Tickets-n) / float64(m.Tickets) // 1 is a month
	return conversation.live(topic, m.random, age)
}

// conversation is the life of one ticket.
type conversation struct {
	ctx                context.Context
	id                 string
	reporter, engineer person
	err                error
}

func (c *conversation) live(t topic, random *rand.Rand, age float64) error {
	chance := func(p float64) bool { return random.Float64() < p }
	if age < 0.05 && chance(0.5) {
		return nil // it was raised just now
	}
	c.accept()
	c.comment(c.engineer, greetings[random.IntN(len(greetings))], false)
	if chance(0.4) {
		c.comment(c.engineer, notes[random.IntN(len(notes))], true)
	}
	if chance(0.5) {
		c.update(c.engineer, crm.UpdateTicketRequest{
			Status: new(crm.TicketStatusBlocked), WaitingFor: new(crm.WaitingForCustomer), BlockedReason: new(t.question),
		})
		if age < 0.15 && chance(0.6) {
			return c.err
		}
		c.comment(c.reporter, t.answer, false)
	}
	if age < 0.12 && chance(0.5) {
		return c.err
	}
	c.update(c.engineer, crm.UpdateTicketRequest{Status: new(crm.TicketStatusResolved), Resolution: new(t.resolution)})
	if chance(0.12) {
		c.comment(c.reporter, "Sorry, it is back. The same as before.", false)
		if chance(0.8) {
			c.accept()
			c.update(c.engineer, crm.UpdateTicketRequest{Status: new(crm.TicketStatusResolved), Resolution: new(t.resolution + " This time the cause as well.")})
		}
	}
	if chance(age) {
		c.comment(c.reporter, "Thank you, that was quick.", false)
		c.update(c.reporter, crm.UpdateTicketRequest{Status: new(crm.TicketStatusClosed)})
	}
	return c.err
}

func (c *conversation) accept() {
	if c.err == nil {
		_, c.err = c.engineer.client.AcceptTicketWithResponse(c.ctx, c.id)
	}
}

func (c *conversation) comment(by person, text string, internal bool) {
	if c.err == nil {
		_, c.err = by.client.CreateCommentWithResponse(c.ctx, c.id, nil, crm.CreateCommentRequest{Body: text, Internal: &internal})
	}
}

func (c *conversation) update(by person, u crm.UpdateTicketRequest) {
	if c.err == nil {
		_, c.err = by.client.UpdateTicketWithResponse(c.ctx, c.id, nil, u)
	}
}
