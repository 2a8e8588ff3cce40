package main

import (
	"embed"
	"fmt"
)

// yardsticks are scripts for pgbench: one plain statement for each thing that a
// request reads or writes, as the CRM ran them on 2026-11-30. They stay as they are,
// so that a heavier statement of the CRM can't improve its ratio. The values that
// they name are yardstickValues.
//
//go:embed yardstick/*.sql
var yardsticks embed.FS

const (
	titleText       = "The printer on the second floor"
	titleWords      = "the printer on the second floor"
	descriptionText = "It takes the paper, pulls it halfway through and stops. It has done so since Monday, and everybody here has tried to switch it off and on again."
	descriptionWord = "it takes the paper pulls it halfway through and stops it has done so since monday and everybody here has tried to switch it off and on again"
	commentText     = "Somebody will look at it this afternoon, please leave it switched on."
	commentWords    = "somebody will look at it this afternoon please leave it switched on"

	aboutTicket = `"ticket_id": "00000000-0000-0000-0003-000000000006", "number": 6, "title": "` + titleText + `"`
	toReporter  = `"to": {"id": "00000000-0000-0000-0001-000000000007", "name": "Person 7", "email": "person7@example.com"}`
)

var yardstickValues = map[string]string{
	"title": titleText, "title_words": titleWords, "description": descriptionText, "description_words": descriptionWord,
	"comment": commentText, "comment_words": commentWords,

	"created":   `{"title": {"to": "` + titleText + `", "from": null}, "priority": {"to": "normal", "from": null}}`,
	"accepted":  `{"status": {"to": "in_progress", "from": "open"}}`,
	"updated":   `{"priority": {"to": "urgent", "from": "low"}}`,
	"commented": `{"comment": {"id": "00000000-0000-0000-0005-000000000007", "internal": false}}`,

	"receipt": `{` + aboutTicket + `, ` + toReporter + `, "description": "` + descriptionText + `", "assignee_name": ""}`,
	"assigned": `{` + aboutTicket + `, "to": {"id": "00000000-0000-0000-0000-000000000000", "name": "", "email": ""}, "by_name": "", "priority": "normal", ` +
		`"description": "` + descriptionText + `", "reporter_name": "Person 7"}`,
	"changed": `{` + aboutTicket + `, ` + toReporter + `, "audience": "reporter", "actor_name": "Person 207", "resolution": "", "latest_comment": "", ` +
		`"changes": [{"field": "status", "from": "open", "to": "in_progress"}]}`,
	"comment_notice": `{` + aboutTicket + `, ` + toReporter + `, "audience": "reporter", "actor_name": "Person 207", "body": "` + commentText + `", "internal": false, ` +
		`"earlier": {"author_name": "Person 7", "at": "2026-11-30T12:00:00Z", "body": "` + descriptionText + `"}}`,
}

// yardstick makes the script of that name ready for a database.
func (s *stack) yardstick(name, database string) (*pgbench, error) {
	text, err := yardsticks.ReadFile("yardstick/" + name + ".sql")
	if err != nil {
		return nil, fmt.Errorf("there is no yardstick %q: %w", name, err)
	}
	return s.newPgbench(name, database, string(text), yardstickValues)
}
