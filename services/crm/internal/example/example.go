// Package example has the people and the ticket of the examples in the OpenAPI
// document, so that the examples of all operations fit together: Ada reports that a
// printer smokes, Sofia declines, Erik accepts, asks, and resolves. Mira is the admin,
// Jonas has registered as an engineer.
package example

import (
	"time"

	"github.com/google/uuid"
)

// Person is somebody in the examples.
type Person struct {
	ID          uuid.UUID
	Name, Email string
}

// The people.
var (
	Ada   = Person{uuid.MustParse("019bab7a-4c00-7c11-8a01-5b7d9e3f1a01"), "Ada Moreno", "ada@example.com"}
	Sofia = Person{uuid.MustParse("019bab7a-4c00-7c11-8a01-5b7d9e3f1a02"), "Sofia Reyes", "sofia@example.com"}
	Erik  = Person{uuid.MustParse("019bab7a-4c00-7c11-8a01-5b7d9e3f1a03"), "Erik Lind", "erik@example.com"}
	Mira  = Person{uuid.MustParse("019bab7a-4c00-7c11-8a01-5b7d9e3f1a04"), "Mira Okafor", "mira@example.com"}
	Jonas = Person{uuid.MustParse("019bab7a-4c00-7c11-8a01-5b7d9e3f1a05"), "Jonas Weber", "jonas@example.com"}
)

// The ticket and what belongs to it.
var (
	TicketID  = uuid.MustParse("019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42")
	CommentID = uuid.MustParse("019bb1e3-4f00-7d52-8b6f-4a8c0e2d6f13")
	MailID    = uuid.MustParse("019bb1a3-3b28-7e63-9c70-5b9d1f3e7a24")
	SessionID = uuid.MustParse("019bb19e-a360-7f74-8d81-6cae204f8b35")
	EventID   = uuid.MustParse("019bb19e-a360-7a85-9e92-7dbf31509c46")
	RequestID = "019bb1a3-36fd-7b96-8fa3-8ec042610d57"
)

// The texts of the ticket.
const (
	Number      = 42
	Title       = "Printer on the second floor smokes"
	Description = "It smokes when it prints in colour. We have switched it off."
	Question    = "From which tray does it smoke?"
	Answer      = "From the second one."
	Resolution  = "The fuser unit was worn out and is replaced."
)

// NextCursor is the cursor of the next page.
const NextCursor = "kX3vQ2m8Yb5IjIwMjYtMDEtMTJUMTE6MTU6MDBaIg"

// At returns a time of the day of the examples, from a text such as 09:30:00.
func At(clock string) time.Time {
	t, err := time.Parse(time.RFC3339, "2026-01-12T"+clock+"Z")
	if err != nil {
		panic("example: " + err.Error())
	}
	return t
}
