package delivery

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestTroubleIsLoggedWhenItBeginsAndWhenItEnds(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	var claims trouble
	away := errors.New("the database is away")
	for _, err := range []error{nil, away, away, away, nil, nil, away} {
		claims.report(t.Context(), log, "claiming mails", err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"claiming mails fails"`) || !strings.Contains(lines[1], `works again" failures=3`) ||
		!strings.Contains(lines[2], `fails"`) {
		t.Errorf("logged\n%s", text.String())
	}
}
