package app

import "fixdesk/pkg/httpapi"

const apiDescription = "Stores notifications, mails each recipient separately, and reports the result for each. Keeps mail that comes in until its consumer has acknowledged it. " +
	"Callers send a bearer token (a JWT signed by the CRM, with the audience notification) that has the scope an operation names: " +
	"notifications:write creates notifications, notifications:read reads them and their results, notifications:manage cancels, retries, pauses sending and changes the suppression list, " +
	"inbound:read reads mail that came in, inbound:ack acknowledges it. " +
	"crm token prints one."

// apiTags are the groups of operations in the OpenAPI document.
var apiTags = []httpapi.Tag{
	{Name: "notifications", Description: "Mails to one or many recipients: from the request to the result for each."},
	{Name: "sending", Description: "Pausing and resuming the sending of all mails, and releasing those that are held back after a restore."},
	{Name: "suppressions", Description: "Addresses that are mailed no more: their mails came back for good, their owners complained, or a client added them."},
	{Name: "inbound", Description: "Mail that came in: stored before it is acknowledged to its sender's server, and kept for its consumer."},
	{Name: "stats", Description: "The state of the whole queue, for operators."},
}
