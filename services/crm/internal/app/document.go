package app

import "fixdesk/pkg/httpapi"

const apiDescription = "Customers raise tickets, engineers fix them, admins see and manage all."

// apiTags are the groups of operations in the OpenAPI document.
var apiTags = []httpapi.Tag{
	{Name: "auth", Description: "Registering, signing in and out, tokens, passwords and the verification of addresses."},
	{Name: "me", Description: "The signed-in user's own profile, password and sessions."},
	{Name: "keys", Description: "API keys for programs: made, rotated and revoked by their owners."},
	{Name: "tickets", Description: "Tickets from the first report to the fix, their comments and events."},
	{Name: "attachments", Description: "Files of tickets and comments."},
	{Name: "inbound", Description: "Mail that came in: the originals of tickets and comments, and held mails."},
	{Name: "users", Description: "People and their accounts, for admins."},
	{Name: "registrations", Description: "Engineers and admins who wait for an admin's approval."},
	{Name: "reports", Description: "Figures over time, for admins."},
	{Name: "audit", Description: "What was done to accounts and by whom, for admins."},
	{Name: "operations", Description: "What the notification service does with mails, for admins."},
	{Name: "outbox", Description: "Mails that are not yet posted to the notification service, for admins."},
}
