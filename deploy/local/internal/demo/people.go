package demo

import (
	"strings"

	"fixdesk/deploy/client/go/crm"
)

var engineers = []string{"Ada Byrne", "Milan Novak", "Sofia Conti", "Kenji Mori"}

var customers = []string{
	"Leila Haddad", "Jonas Weber", "Tom Baker", "Mina Park", "Carlos Ruiz", "Ines Moreau", "Piotr Zielinski", "Amara Okafor",
	"Nils Berg", "Yara Costa", "Oskar Lind", "Priya Nair", "Luca Ferri", "Hana Sato", "Eva Kovacs", "Ben Carter",
}

// addressOf makes an address of a name: Ada Byrne is ada.byrne@fixdesk.example.
func addressOf(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), " ", ".") + "@fixdesk.example"
}

var places = []string{"in room 204", "on the third floor", "in the library", "at the east entrance", "in the workshop", "at the front desk", "in building B", "in the canteen"}

var priorities = []crm.TicketPriority{
	crm.TicketPriorityLow, crm.TicketPriorityNormal, crm.TicketPriorityNormal, crm.TicketPriorityNormal, crm.TicketPriorityHigh, crm.TicketPriorityUrgent,
}

// topic is what a ticket is about. The title has a verb for a place.
type topic struct{ title, description, question, answer, resolution string }

var topics = []topic{
	{"Printer %s eats the paper", "It pulls the paper in halfway and stops. It has done so since this morning.", "Which tray do you use?", "The lower one, with the thick paper.", "The roller of the lower tray is new."},
	{"Badge reader %s refuses my badge", "The light turns red, although my badge works elsewhere.", "What is the number on the back of the badge?", "It ends in 4711.", "The badge was missing in the list of that door."},
	{"Heating %s stays off", "It is 16 degrees and the thermostat does nothing.", "Does the display show a number?", "It shows E3 and blinks.", "The valve was stuck; it moves again."},
	{"Projector %s shows a green line", "A green line from top to bottom, with every computer.", "Is the line there without a cable, too?", "No, only when something is plugged in.", "A new cable."},
	{"No Wi-Fi %s since the weekend", "The network is shown, but nothing loads. Two colleagues have the same.", "Is it better near the window?", "A little, but still slow.", "The access point has a new power supply."},
	{"Coffee machine %s leaks", "There is a puddle under it every morning.", "Does it leak while it is off?", "Yes, over night.", "A new seal at the water tank."},
	{"Door %s does not close by itself", "It stays open a hand's width, and it is cold.", "Does it touch the floor?", "Yes, on the left side.", "The hinge is adjusted."},
	{"Calendar on the screen %s is an hour late", "All meetings are shown an hour later than they are.", "Is it right on your phone?", "Yes, only the screen is wrong.", "The screen had the time zone of last year."},
	{"Window %s can't be locked", "The handle turns without end.", "Is it the one next to the door?", "No, the one in the corner.", "The handle is new."},
	{"Phone %s has no dial tone", "The display is on, but there is no sound.", "Did you try another cable?", "Yes, it is the same.", "The port in the wall was switched off by mistake."},
}

var greetings = []string{
	"Thank you for the report. I have a look this afternoon.",
	"I am on it, and write as soon as I know more.",
	"Thank you. I saw it just now, and need a spare part.",
	"Good morning, I come by within the hour.",
}

var notes = []string{
	"The same part failed in March; the warranty lasts until summer.",
	"If it happens again, we should replace it.",
	"The supplier has it in stock, two days.",
	"Check the neighbouring room as well.",
}
