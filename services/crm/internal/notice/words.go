package notice

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

const (
	subjectLimit      = 160 // characters of a subject
	subjectTitleLimit = 100 // characters of a title within a subject
	nameLimit         = 60  // characters of a name within a subject
	rowLimit          = 120 // characters of a changed value that still stands on a line
	// quoteLimit, in characters, keeps a mail with every quote at its longest
	// below the 1 MiB that the notification service takes.
	quoteLimit = 8000
)

// Message acknowledges a ticket to its reporter.
func (n TicketReceived) Message(links Links) Message {
	l := letter{Name: line(n.To.Name), Lead: fmt.Sprintf("Thank you, we have received your ticket %s.", n.quoted())}
	if n.AssigneeName == "" {
		l.Lead += " An engineer will take it on as soon as one is free."
	} else {
		l.Lead += fmt.Sprintf(" %s will look after it.", line(n.AssigneeName))
	}
	l = l.quoted("You wrote", n.Description)
	l.Closing = []string{n.howToAnswer(links)}
	return n.mail(links, n.To, "received", l)
}

// Message hands a ticket to its new assignee.
func (n TicketAssigned) Message(links Links) Message {
	l := letter{Name: line(n.To.Name), Lead: fmt.Sprintf("Ticket %s was assigned to you automatically.", n.quoted())}
	if n.ByName != "" {
		l.Lead = fmt.Sprintf("%s assigned ticket %s to you.", line(n.ByName), n.quoted())
	}
	l = l.row("Reported by", line(n.ReporterName)).row("Priority", words(n.Priority))
	l = l.quoted("Description", n.Description)
	l.Closing = []string{
		fmt.Sprintf("To accept it: POST %s/accept\nTo pass it on: POST %[1]s/decline, with a reason", n.address(links)),
		n.howToAnswer(links),
	}
	return n.mail(links, n.To, "assigned to you", l)
}

// Message tells the former assignee that the ticket is in other hands.
func (n TicketUnassigned) Message(links Links) Message {
	l := letter{Name: line(n.To.Name), Lead: fmt.Sprintf("Ticket %s is no longer assigned to you.", n.quoted())}
	switch by, to := line(n.ByName), line(n.NewAssigneeName); {
	case by != "" && to != "":
		l.Lead += fmt.Sprintf(" %s handed it to %s.", by, to)
	case by != "":
		l.Lead += fmt.Sprintf(" %s took it off your list; nobody has it now.", by)
	case to != "":
		l.Lead += fmt.Sprintf(" It was handed to %s.", to)
	default:
		l.Lead += " Nobody has it now."
	}
	l = l.quoted("Reason", n.Why)
	l.Closing = []string{fmt.Sprintf("There is nothing you need to do. The ticket: GET %s", n.address(links))}
	return n.mail(links, n.To, "no longer yours", l)
}

// Message tells what changed, from what to what, and by whom.
func (n TicketChanged) Message(links Links) Message {
	l := letter{Name: line(n.To.Name)}.row("Changed by", line(n.ActorName))
	status := ""
	for _, c := range n.Changes {
		if c.Field == "resolution" && n.Resolution != "" {
			continue // it is quoted below
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
	if status == "resolved" {
		l.Closing = append(l.Closing, fmt.Sprintf("Solved for you? Close it: PATCH %s with {\"status\": \"closed\"}\n"+
			"Not solved? Open it again: PATCH %[1]s with {\"status\": \"open\"}", n.address(links)))
	}
	l.Closing = append(l.Closing, n.howToAnswer(links))
	return n.mail(links, n.To, or(status, "changed"), l)
}

// Message brings a new comment.
func (n TicketCommented) Message(links Links) Message {
	by, kind := or(line(n.ActorName), "Somebody"), "comment"
	if n.Internal {
		kind = "internal comment"
	}
	l := letter{Name: line(n.To.Name), Lead: fmt.Sprintf("%s commented on ticket %s.", by, n.quoted())}
	if n.Internal {
		l.Lead = fmt.Sprintf("%s wrote an internal comment on ticket %s. The customer can't see it.", by, n.quoted())
	}
	if n.Status != "" {
		l.Lead += fmt.Sprintf(" It is now %s again.", words(n.Status))
	}
	l = l.quoted(by+" wrote", n.Body)
	l.Closing = []string{n.howToAnswer(links)}
	return n.mail(links, n.To, "new "+kind, l)
}

const noReplies = "Please don't reply to this mail: nobody reads what is sent to its address."

func (t Ticket) quoted() string {
	return "#" + strconv.FormatInt(t.Number, 10) + " “" + line(t.Title) + "”"
}

func (t Ticket) address(links Links) string { return links.PublicURL + "/v1/tickets/" + t.ID.String() }

func (t Ticket) howToAnswer(links Links) string {
	return fmt.Sprintf("The ticket: GET %s\nTo answer: POST %[1]s/comments\n%s", t.address(links), noReplies)
}

// mail addresses a letter about a ticket. Subject and thread let a mail client
// show all mails of one ticket together.
func (t Ticket) mail(links Links, to Person, what string, l letter) Message {
	if to.Unverified && links.VerifiedOnly {
		return t.unverified(links, to)
	}
	m := l.mail([]Person{to}, fmt.Sprintf("[Fixdesk #%d] %s: %s", t.Number, shorten(line(t.Title), subjectTitleLimit), what))
	m.Thread = "ticket-" + t.ID.String()
	return m
}

func (l letter) mail(to []Person, subject string) Message {
	m := Message{Subject: shorten(subject, subjectLimit), Text: l.text(), HTML: l.html()}
	for _, p := range to {
		m.To = append(m.To, p.Email)
	}
	return m
}

// change tells one field's move on a line, or as two quotes when it is a text.
func (l letter) change(c Change) letter {
	label, from, to := capitalised(words(c.Field)), line(c.From), line(c.To)
	switch c.Field {
	case "status", "priority":
		from, to = words(from), words(to)
	case "title", "description", "resolution":
		from, to = inQuotes(from), inQuotes(to)
	}
	if isText(c.From) || isText(c.To) {
		return l.quoted(label+" before", c.From).quoted(label+" now", or(c.To, "none"))
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
