package ticketlist

import (
	"encoding/csv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fixdesk/services/crm/internal/ticket"
)

var csvHeader = []string{
	"number", "id", "title", "status", "priority", "reporter", "assignee",
	"created_at", "updated_at", "accepted_at", "resolved_at", "closed_at", "resolution", "description",
}

func writeCSV(w *csv.Writer, t ticket.Ticket) error {
	assignee := ""
	if t.Assignee != nil {
		assignee = t.Assignee.Name
	}
	resolution := ""
	if t.Resolution != nil {
		resolution = *t.Resolution
	}
	row := []string{
		strconv.FormatInt(t.Number, 10), t.ID.String(), t.Title, string(t.Status), string(t.Priority), t.Reporter.Name, assignee,
		csvTime(&t.CreatedAt), csvTime(&t.UpdatedAt), csvTime(t.AcceptedAt), csvTime(t.ResolvedAt), csvTime(t.ClosedAt),
		resolution, t.Description,
	}
	for i, cell := range row {
		row[i] = harmless(cell)
	}
	return w.Write(row)
}

// harmless prevents that a spreadsheet reads a cell as a formula (OWASP, CSV
// Injection).
func harmless(cell string) string {
	if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}

func csvTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
