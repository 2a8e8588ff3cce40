package notice

import (
	"fmt"
)

// The kinds of notice about accounts, as stored.
const (
	KindRegistrationWaiting = "registration_waiting"
	KindRegistrationDecided = "registration_decided"
	KindPasswordReset       = "password_reset"
	KindEmailVerification   = "email_verification"
	KindInvitation          = "invitation"
	KindAccountChanged      = "account_changed"
)

// RegistrationWaiting asks the admins to decide on a registration.
type RegistrationWaiting struct {
	To        []Person `json:"to"`
	Applicant Person   `json:"applicant"`
	Role      string   `json:"role"`
}

// RegistrationDecided informs an applicant of the decision. Reason may be empty.
type RegistrationDecided struct {
	To       Person `json:"to"`
	Approved bool   `json:"approved"`
	Role     string `json:"role"`
	Reason   string `json:"reason"`
}

// PasswordReset carries the single-use token to the address that asked for it.
type PasswordReset struct {
	To           Person `json:"to"`
	Token        string `json:"token"`
	ValidMinutes int    `json:"valid_minutes"`
}

// EmailVerification carries the single-use token that verifies an address.
type EmailVerification struct {
	To         Person `json:"to"`
	Token      string `json:"token"`
	ValidHours int    `json:"valid_hours"`
}

// Invitation carries the single-use token by which an invited user sets a
// password.
type Invitation struct {
	To        Person `json:"to"`
	Role      string `json:"role"`
	Token     string `json:"token"`
	ValidDays int    `json:"valid_days"`
}

// The events of AccountChanged.
const (
	PasswordChanged  = "password_changed"
	AddressChanged   = "address_changed" // sent to the old and to the new address
	AccountSuspended = "suspended"
	AccountRejected  = "rejected"
	AccountApproved  = "approved"
	KeyIssued        = "key_issued" // an API key was created or rotated
)

// AccountChanged informs a person of a change of their account, so that a
// change which they did not make does not go unnoticed. Event is one of the
// constants above; Reason may be empty.
type AccountChanged struct {
	To     Person `json:"to"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
}

// Kind is "registration_waiting".
func (RegistrationWaiting) Kind() string { return KindRegistrationWaiting }

// Kind is "registration_decided".
func (RegistrationDecided) Kind() string { return KindRegistrationDecided }

// Kind is "password_reset".
func (PasswordReset) Kind() string { return KindPasswordReset }

// Kind is "email_verification".
func (EmailVerification) Kind() string { return KindEmailVerification }

// Kind is "invitation".
func (Invitation) Kind() string { return KindInvitation }

// Kind is "account_changed".
func (AccountChanged) Kind() string { return KindAccountChanged }

func decodeAccount(kind string, data []byte) (Notice, error) {
	switch kind {
	case KindRegistrationWaiting:
		return decode[RegistrationWaiting](kind, data)
	case KindRegistrationDecided:
		return decode[RegistrationDecided](kind, data)
	case KindPasswordReset:
		return decode[PasswordReset](kind, data)
	case KindEmailVerification:
		return decode[EmailVerification](kind, data)
	case KindInvitation:
		return decode[Invitation](kind, data)
	case KindAccountChanged:
		return decode[AccountChanged](kind, data)
	case KindDigest:
		return decode[Digest](kind, data)
	}
	return nil, fmt.Errorf("decode %q: %w", kind, ErrUnknownKind)
}

// Message asks the admins to decide.
func (n RegistrationWaiting) Message(links Links) Message {
	name, role := line(n.Applicant.Name), words(n.Role)
	l := mail{Lead: fmt.Sprintf("%s has registered as %s and waits for approval.", name, withArticle(role))}
	l = l.row("Name", name).row("Address", line(n.Applicant.Email)).row("Role", role)
	l.Closing = []string{fmt.Sprintf("To approve or reject: %s/admin/registrations", links.PublicURL), links.noReplies()}
	return l.message(links, n.To, "[Fixdesk] "+shorten(name, nameLimit)+" waits for approval as "+role, n.Kind())
}

// Message informs the applicant of the decision.
func (n RegistrationDecided) Message(links Links) Message {
	l, subject := toAccount(n.To), "[Fixdesk] Your registration was rejected"
	l.Lead = fmt.Sprintf("Your registration as %s was rejected.", withArticle(words(n.Role)))
	if n.Approved {
		subject = "[Fixdesk] Your registration was approved"
		l.Lead = fmt.Sprintf("Your registration as %s was approved. You can sign in now.", withArticle(words(n.Role)))
		l.Closing = []string{fmt.Sprintf("To sign in: %s/", links.PublicURL)}
	}
	l = l.quoted("Reason", n.Reason)
	l.Closing = append(l.Closing, links.noReplies())
	return l.message(links, []Person{n.To}, subject, n.Kind())
}

// Message contains the token and explains its use.
func (n PasswordReset) Message(links Links) Message {
	l := toAccount(n.To).row("Token", line(n.Token))
	l.Lead = fmt.Sprintf("A new password was requested for this address. "+
		"This token sets it once, within %d minutes:", n.ValidMinutes)
	l.Closing = []string{
		fmt.Sprintf("To set a new password: %s/reset#token=%s", links.PublicURL, line(n.Token)),
		"If you did not request it, ignore this mail: without the token nothing changes. Nobody at Fixdesk will ask you for it.",
		links.noReplies(),
	}
	return l.message(links, []Person{n.To}, "[Fixdesk] Set a new password", n.Kind())
}

// Message contains the token and explains its use.
func (n EmailVerification) Message(links Links) Message {
	l := toAccount(n.To).row("Token", line(n.Token))
	l.Lead = fmt.Sprintf("An account was registered with this address. "+
		"This token confirms once, within %d hours, that the address is yours:", n.ValidHours)
	l.Closing = []string{
		fmt.Sprintf("To confirm: %s/verify#token=%s", links.PublicURL, line(n.Token)),
		"If you did not register, ignore this mail: without the token the account gets no more than ticket numbers sent to you.",
		links.noReplies(),
	}
	return l.message(links, []Person{n.To}, "[Fixdesk] Confirm your address", n.Kind())
}

// Message contains the token and explains its use.
func (n Invitation) Message(links Links) Message {
	l := toAccount(n.To).row("Token", line(n.Token))
	l.Lead = fmt.Sprintf("An admin made an account for you as %s. "+
		"This token sets your password once, within %d days:", withArticle(words(n.Role)), n.ValidDays)
	l.Closing = []string{
		fmt.Sprintf("To set your password: %s/reset#token=%s", links.PublicURL, line(n.Token)),
		fmt.Sprintf("If the token has expired, ask for another mail at %s/reset", links.PublicURL),
		links.noReplies(),
	}
	return l.message(links, []Person{n.To}, "[Fixdesk] Your account", n.Kind())
}

// Message reports the change, and what to do if someone else made it.
func (n AccountChanged) Message(links Links) Message {
	subject, lead := accountEvent(n.Event)
	l := toAccount(n.To).quoted("Reason", n.Reason)
	l.Lead = lead
	switch n.Event {
	case PasswordChanged, AddressChanged:
		l.Closing = []string{fmt.Sprintf("If you did not expect this, set a new password at %s/reset and tell an admin.", links.PublicURL)}
	case KeyIssued:
		l.Closing = []string{fmt.Sprintf("If you did not expect this, set a new password at %s/reset and ask an admin to revoke the key.", links.PublicURL)}
	case AccountApproved:
		l.Closing = []string{fmt.Sprintf("To sign in: %s/", links.PublicURL)}
	}
	l.Closing = append(l.Closing, links.noReplies())
	return l.message(links, []Person{n.To}, "[Fixdesk] "+subject, n.Kind())
}

func accountEvent(event string) (subject, lead string) {
	switch event {
	case PasswordChanged:
		return "Your password was changed", "The password of your account was changed. All other sessions have ended. API keys still work."
	case AddressChanged:
		return "Your address for signing in was changed", "The address of your account was changed by an admin. From now on sign in with the new address."
	case AccountSuspended:
		return "Your account was suspended", "Your account was suspended. You can't sign in until an admin approves it again."
	case AccountRejected:
		return "Your account was rejected", "Your account was rejected. You can't sign in until an admin approves it again."
	case AccountApproved:
		return "Your account was approved", "Your account was approved. You can sign in now."
	case KeyIssued:
		return "A new API key of your account", "An API key of your account was created or rotated. It acts for you until it expires or is revoked."
	}
	return "Your account was changed", "Your account was changed."
}

// toAccount begins a mail about an account. An unverified address is not greeted
// by name, since another person may have chosen the name.
func toAccount(to Person) mail {
	if to.Unverified {
		return mail{}
	}
	return mail{Name: line(to.Name)}
}

func withArticle(role string) string {
	if role == "engineer" || role == "admin" {
		return "an " + role
	}
	return "a " + role
}
