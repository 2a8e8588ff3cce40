package notice

import "fmt"

// unverified is the mail about a ticket to an unverified address. It contains no
// text that a person typed, so that the service can't be used to mail a text to
// any address.
func (t Ticket) unverified(links Links, to Person, as Audience, kind string) Message {
	l := mail{Lead: fmt.Sprintf("Ticket #%d was raised for this address, or has changed.", t.Number)}
	l.Closing = []string{
		fmt.Sprintf("This address is not verified yet, so this mail has the number alone. To get the whole text, verify the address: sign in and ask for the verification mail at %s/verify, or set a password at %[1]s/reset.", links.PublicURL),
		"If you did not expect this mail, ignore it.",
	}
	l.Closing = append(l.Closing, t.howToAnswer(links)...)
	m := l.message(links, []Person{to}, fmt.Sprintf("[Fixdesk #%d] Your ticket", t.Number), kind)
	return t.addressed(links, as, m)
}
