package notice

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// KindDigest is the stored name of a digest.
const KindDigest = "digest"

const (
	digestTickets = 40 // tickets that a digest lists
	digestNews    = 4  // events of a ticket that a digest lists, the latest
)

// Digest lists what happened to the tickets of a person since the last one. More
// is how many events of further tickets it leaves out.
type Digest struct {
	To      Person         `json:"to"`
	Tickets []DigestTicket `json:"tickets"`
	More    int            `json:"more,omitempty"`
}

// DigestTicket is a ticket as it is when the digest is made. News are what
// happened, oldest first, each a sentence; Earlier is how many it leaves out.
type DigestTicket struct {
	Ticket
	Status  string   `json:"status"`
	News    []string `json:"news"`
	Earlier int      `json:"earlier,omitempty"`
}

// Kind is "digest".
func (Digest) Kind() string { return KindDigest }

// Add adds what a notice reports to the ticket of the digest, which is as the
// caller has read it. It returns an error for a notice that no digest gathers.
func (d *Digest) Add(n Notice, about DigestTicket) error {
	var news []string
	switch n := n.(type) {
	case TicketAssigned:
		news = []string{"It was assigned to you."}
		if n.ByName != "" {
			news = []string{line(n.ByName) + " assigned it to you."}
		}
	case TicketUnassigned:
		news = []string{"It is no longer assigned to you."}
	case TicketChanged:
		news = n.news()
	case TicketCommented:
		news = n.news()
	default:
		return errors.New("no digest gathers " + n.Kind())
	}
	i := d.index(about.ID)
	if i < 0 {
		if len(d.Tickets) == digestTickets {
			d.More++
			return nil
		}
		d.Tickets = append(d.Tickets, about)
		i = len(d.Tickets) - 1
	}
	t := &d.Tickets[i]
	t.News = append(t.News, news...)
	if extra := len(t.News) - digestNews; extra > 0 {
		t.News, t.Earlier = t.News[extra:], t.Earlier+extra
	}
	return nil
}

func (d *Digest) index(id uuid.UUID) int {
	for i, t := range d.Tickets {
		if t.ID == id {
			return i
		}
	}
	return -1
}

func (n TicketCommented) news() []string {
	news := or(line(n.ActorName), "A user") + " commented."
	if n.Internal {
		news = or(line(n.ActorName), "A user") + " wrote an internal comment."
	}
	if n.Status != "" {
		news += fmt.Sprintf(" It is now %s again.", words(n.Status))
	}
	return []string{news}
}

func (n TicketChanged) news() []string {
	var news []string
	for _, c := range n.Changes {
		field := words(c.Field)
		switch by := line(n.ActorName); {
		case c.To == "" || c.Field != "status" && c.Field != "priority":
			news = append(news, or(by, "The service")+" changed the "+field+".")
		case by == "":
			news = append(news, fmt.Sprintf("The %s is now %s.", field, words(c.To)))
		default:
			news = append(news, fmt.Sprintf("%s changed the %s from %s to %s.", by, field, or(words(c.From), "none"), words(c.To)))
		}
	}
	return news
}

// Message lists the tickets with their links. An unverified recipient gets the
// links alone.
func (d Digest) Message(links Links) Message {
	withText := !d.To.Unverified || !links.VerifiedOnly
	l := mail{Lead: "This happened to your tickets:"}
	if withText {
		l.Name = line(d.To.Name)
	}
	for _, t := range d.Tickets {
		p := passage{Heading: fmt.Sprintf("#%d", t.Number), Link: t.address(links)}
		if withText {
			p.Heading = t.quoted() + ", " + words(t.Status)
			p.Lines = t.news()
		}
		l.Passages = append(l.Passages, p)
	}
	if d.More > 0 {
		l.Closing = append(l.Closing, fmt.Sprintf("More happened to other tickets. All of them: %s/tickets", links.PublicURL))
	}
	l.Closing = append(l.Closing, fmt.Sprintf("To change when you get this mail: %s/me", links.PublicURL), links.noReplies())
	subject := "[Fixdesk] News of 1 ticket"
	if count := len(d.Tickets); count != 1 {
		subject = fmt.Sprintf("[Fixdesk] News of %d tickets", count)
	}
	return l.message(links, []Person{d.To}, subject, KindDigest)
}

func (t DigestTicket) news() []string {
	var lines []string
	if t.Earlier > 0 {
		lines = append(lines, fmt.Sprintf("%d earlier events.", t.Earlier))
	}
	for _, s := range t.News {
		lines = append(lines, line(s))
	}
	return lines
}

// passage is what happened to one ticket.
type passage struct {
	Heading string
	Lines   []string
	Link    string
}

func (p passage) text() string {
	return p.Heading + "\n" + strings.Join(append(append([]string{}, p.Lines...), p.Link), "\n") + "\n"
}
