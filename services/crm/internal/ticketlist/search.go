package ticketlist

import (
	"strings"

	"fixdesk/pkg/text"
)

// prefixes turns typed text into a tsquery (PostgreSQL chapter 12.3.2): each typed
// word must match by its prefix, and the parts into which text.Words divides it
// must follow each other. Quoted words are never operators. The result is empty
// for a text without a letter or digit.
func prefixes(query string) string {
	var terms []string
	for typed := range strings.FieldsSeq(query) {
		if parts := strings.Fields(text.Words(typed)); len(parts) > 0 {
			terms = append(terms, "('"+strings.Join(parts, "' <-> '")+"':*)")
		}
	}
	return strings.Join(terms, " & ")
}
