package notice

import (
	"cmp"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const (
	subjectLimit      = 160 // characters of a subject
	subjectTitleLimit = 100 // characters of a title within a subject
	nameLimit         = 60  // characters of a name within a subject
	rowLimit          = 120 // characters of a changed value that is shown on one line
	// quoteLimit, in characters, keeps a mail with every quote at its longest
	// below the 1 MiB that the notification service takes.
	quoteLimit   = 8000
	earlierLimit = 2000 // characters of the message before a comment
)

// Message acknowledges a ticket to its reporter.
func (n TicketReceived) Message(links Links) Message {
	l := mail{Name: line(n.To.Name), Lead: fmt.Sprintf("Thank you, we have received your ticket %s.", n.quoted())}
	if n.AssigneeName == "" {
		l.Lead += " An engineer will take it on as soon as one is free."
	} else {
		l.Lead += fmt.Sprintf(" %s will look after it.", line(n.AssigneeName))
	}
	l = l.quoted("You wrote", n.Description)
	l.Closing = append(fileNames(n.Files, false), n.howToAnswer(links)...)
	return n.message(links, n.To, ToReporter, l, n.Kind())
}

// Message notifies the new assignee.
func (n TicketAssigned) Message(links Links) Message {
	l := mail{Name: line(n.To.Name), Lead: fmt.Sprintf("Ticket %s was assigned to you automatically.", n.quoted())}
	if n.ByName != "" {
		l.Lead = fmt.Sprintf("%s assigned ticket %s to you.", line(n.ByName), n.quoted())
	}
	l = l.row("Reported by", line(n.ReporterName)).row("Priority", words(n.Priority))
	l = l.quoted("Description", n.Description)
	l.Closing = append(fileNames(n.Files, n.attached), "Please accept it, or decline it with a reason, on its page.")
	l.Closing = append(l.Closing, n.howToAnswer(links)...)
	return n.message(links, n.To, ToStaff, l, n.Kind())
}

// Message notifies the former assignee.
func (n TicketUnassigned) Message(links Links) Message {
	l := mail{Name: line(n.To.Name), Lead: fmt.Sprintf("Ticket %s is no longer assigned to you.", n.quoted())}
	switch by, to := line(n.ByName), line(n.NewAssigneeName); {
	case by != "" && to != "":
		l.Lead += fmt.Sprintf(" %s assigned it to %s.", by, to)
	case by != "":
		l.Lead += fmt.Sprintf(" %s unassigned it; it has no assignee now.", by)
	case to != "":
		l.Lead += fmt.Sprintf(" It is now assigned to %s.", to)
	default:
		l.Lead += " It has no assignee now."
	}
	l = l.quoted("Reason", n.Why)
	l.Closing = []string{"There is nothing you need to do.\nThe ticket: " + n.address(links)}
	return n.message(links, n.To, ToStaff, l, n.Kind())
}

// Message reports what changed, from what to what, and by whom.
func (n TicketChanged) Message(links Links) Message {
	l := mail{Name: line(n.To.Name)}.row("Changed by", line(n.ActorName))
	status := ""
	for _, c := range n.Changes {
		if c.Field == "resolution" && n.Resolution != "" {
			continue // quoted below
		}
		if c.Field == "status" {
			status = words(c.To)
			if status == "open" {
				status = "open again"
			}
		}
		l = l.change(c)
	}
	l.Lead = fmt.Sprintf("Ticket %s has changed.", n.quoted())
	if status != "" {
		l.Lead = fmt.Sprintf("Ticket %s is now %s.", n.quoted(), status)
	}
	l = l.quoted("Resolution", n.Resolution).quoted("Latest comment", n.LatestComment)
	if status == "resolved" && n.Audience == ToReporter {
		l.Closing = append(l.Closing, n.whenResolved(links))
	}
	l.Closing = append(l.Closing, n.howToAnswer(links)...)
	return n.message(links, n.To, n.Audience, l, n.Kind())
}

// Message quotes the new comment.
func (n TicketCommented) Message(links Links) Message {
	by := or(line(n.ActorName), "A user")
	l := mail{Name: line(n.To.Name), Lead: fmt.Sprintf("%s commented on ticket %s.", by, n.quoted())}
	if n.Internal {
		l.Lead = fmt.Sprintf("%s wrote an internal comment on ticket %s. The customer can't see it.", by, n.quoted())
	}
	if n.Status != "" {
		l.Lead += fmt.Sprintf(" It is now %s again.", words(n.Status))
	}
	l = l.quoted(by+" wrote", n.Body)
	if e := n.Earlier; e != nil {
		heading := fmt.Sprintf("Before that, on %s, %s wrote", e.At.UTC().Format("2 January 2006 at 15:04 UTC"), or(line(e.AuthorName), "a user"))
		l = l.quoted(heading, shorten(block(e.Body), earlierLimit))
	}
	l.Closing = append(fileNames(n.Files, n.attached), n.howToAnswer(links)...)
	if n.Internal {
		n.Audience = ToInternal
		if links.ReplyTo != nil {
			l.Closing[len(l.Closing)-1] += "\nYour answer is an internal comment, too: the customer can't see it."
		}
	}
	return n.message(links, n.To, n.Audience, l, n.Kind())
}

// noReplies is the end of a mail that is not to be answered. It is true wherever an
// answer would arrive: the sender's address of mails can be the support address.
func (l Links) noReplies() string {
	if l.Support == "" {
		return "Please don't reply to this mail: nobody reads what is sent to its address."
	}
	return "Please don't reply to this mail. If you need help, write to " + l.Support
}

func (t Ticket) quoted() string {
	return "#" + strconv.FormatInt(t.Number, 10) + " “" + line(t.Title) + "”"
}

// address is the URL of the ticket's page.
func (t Ticket) address(links Links) string {
	return links.PublicURL + "/tickets/" + strconv.FormatInt(t.Number, 10)
}

func (t Ticket) howToAnswer(links Links) []string {
	if links.ReplyTo == nil {
		return []string{"To read and answer: " + t.address(links) + "\n" + links.noReplies()}
	}
	return []string{"To answer, reply to this mail, or open the ticket: " + t.address(links)}
}

// whenResolved is what the reporter of a resolved ticket may do.
func (t Ticket) whenResolved(links Links) string {
	if links.ReplyTo == nil {
		return "Is it solved for you? Then close the ticket on its page. Is it not? Then open it again there."
	}
	return "Is it solved for you? Then you need not do anything. Is it not? Then reply to this mail, and the ticket is opened again."
}

// message makes a mail about a ticket. All mails of one ticket have the same
// subject and thread, so that a mail client groups them.
func (t Ticket) message(links Links, to Person, as Audience, l mail, kind string) Message {
	if to.Unverified && links.VerifiedOnly {
		return t.unverified(links, to, as, kind)
	}
	m := l.message(links, []Person{to}, fmt.Sprintf("[Fixdesk #%d] %s", t.Number, shorten(line(t.Title), subjectTitleLimit)), kind)
	return t.addressed(links, as, m)
}

// addressed adds the thread of the ticket and where answers go.
func (t Ticket) addressed(links Links, as Audience, m Message) Message {
	m.Thread = "ticket-" + t.ID.String()
	if links.ReplyTo != nil {
		m.ReplyTo = links.ReplyTo(t.Number, t.ID, cmp.Or(as, ToReporter)) // facts of an earlier release have none
	}
	return m
}

func (l mail) message(links Links, to []Person, subject, kind string) Message {
	m := Message{Subject: shorten(subject, subjectLimit)}
	if len(to) == 1 {
		m = m.unsubscribable(links, to[0], kind)
	}
	l.Unsubscribe, l.PublicURL = m.Unsubscribe, links.PublicURL
	m.Text, m.HTML = l.text(), l.html()
	for _, p := range to {
		m.To = append(m.To, p.Email)
	}
	return m
}

// change shows one field before and after on a line, or as two quotes when it is
// a text. A removed blocked_reason is not shown, and waiting_for only for the
// customer.
func (l mail) change(c Change) mail {
	label, from, to := capitalised(words(c.Field)), line(c.From), line(c.To)
	switch c.Field {
	case "waiting_for":
		if to != "customer" {
			return l
		}
		from, to = "", "the customer"
	case "blocked_reason":
		if to == "" {
			return l
		}
	case "status", "priority":
		from, to = words(from), words(to)
	case "title", "description", "resolution":
		from, to = inQuotes(from), inQuotes(to)
	}
	if isText(c.From) || isText(c.To) {
		return l.quoted(label+" before", c.From).quoted(label+" now", c.To)
	}
	if from == "" {
		return l.row(label, or(to, "none"))
	}
	return l.row(label, "from "+from+" to "+or(to, "none"))
}

func isText(s string) bool {
	return block(s) != line(s) || utf8.RuneCountInString(s) > rowLimit
}

func inQuotes(s string) string {
	if s == "" {
		return ""
	}
	return "“" + s + "”"
}
