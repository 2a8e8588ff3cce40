package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fixdesk/pkg/dev/launch"

	"github.com/jackc/pgx/v5"
)

// consoleSteps are what console.mjs measures, with the longest median that is
// allowed of each.
var consoleSteps = []struct {
	name string
	bar  time.Duration
}{
	{"the list of all by its address", 300 * time.Millisecond},
	{"the queue by its address", 300 * time.Millisecond},
	{"the list of all by a click", 300 * time.Millisecond},
	{"a search for a common word", 300 * time.Millisecond},
	{"a ticket by o", 150 * time.Millisecond},
	{"the next ticket by o", 150 * time.Millisecond},
	{"j", 50 * time.Millisecond},
	{"k", 50 * time.Millisecond},
	{"j beside a ticket", 50 * time.Millisecond},
	{"o", 50 * time.Millisecond},
	{"c", 50 * time.Millisecond},
	{"the palette", 50 * time.Millisecond},
}

// firstVisitBar is of all that a browser fetches, compressed, until the first list
// is shown.
const firstVisitBar = 100 << 10

// seenInBrowser is what console.mjs prints.
type seenInBrowser struct {
	Bytes int                  `json:"bytes"`
	Took  map[string][]float64 `json:"took"` // milliseconds
}

// measureConsole drives Chromium through the console on a large and on a small
// database. Each time is from the navigation, the key or the click until the frame
// is painted that shows what it leads to.
func measureConsole(ctx context.Context, s *stack, o options) ([]line, error) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("needs chromium")
	}
	folder, err := s.installPlaywright(ctx)
	if err != nil {
		return nil, err
	}
	sizes := []int{smallTickets, o.size}
	seen := make([]seenInBrowser, len(sizes))
	for i, tickets := range sizes {
		database, err := s.filledWith(ctx, tickets)
		if err != nil {
			return nil, err
		}
		crm, err := s.startCRM(ctx, database, closedURL)
		if err != nil {
			return nil, err
		}
		if err := s.givePassword(ctx, crm, database, busyEngineer); err != nil {
			return nil, err
		}
		progress("  in the browser, at %d tickets", tickets)
		if seen[i], err = s.browse(ctx, o, browser, folder, "http://"+crm.Address); err != nil {
			return nil, err
		}
		s.stopService(crm)
	}
	return consoleLines(sizes, seen), nil
}

func consoleLines(sizes []int, seen []seenInBrowser) []line {
	small, large := seen[0], seen[1]
	lines := []line{{
		work: "console: everything that the first visit fetches, compressed", ours: fmt.Sprintf("%.1f KiB", float64(large.Bytes)/1024),
		bar: "≤ 100 KiB", met: large.Bytes <= firstVisitBar,
	}}
	describe := func(took []float64) string {
		return fmt.Sprintf("p50 %.0f ms, p95 %.0f ms", median(took), quantile(took, 0.95))
	}
	for _, step := range consoleSteps {
		ours, yardstick := large.Took[step.name], small.Took[step.name]
		lines = append(lines, line{
			work: fmt.Sprintf("console: %s at %d tickets (yardstick: at %d)", step.name, sizes[1], sizes[0]),
			ours: describe(ours), yardstick: describe(yardstick), ratio: median(ours) / median(yardstick),
			bar: fmt.Sprintf("p50 ≤ %d ms", step.bar.Milliseconds()), met: median(ours) <= float64(step.bar.Milliseconds()),
		})
	}
	return lines
}

// installPlaywright returns the folder of the console's package, with what its tests
// need installed.
func (s *stack) installPlaywright(ctx context.Context) (string, error) {
	folder := filepath.Join(s.root, "services/crm/internal/console")
	if _, err := os.Stat(filepath.Join(folder, "node_modules/playwright-core")); err == nil {
		return folder, nil
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--silent")
	install.Dir = folder
	if output, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("needs npm, and what the console's tests need: %w\n%s", err, output)
	}
	return folder, nil
}

// busyEngineer is assigned a fortieth of all tickets.
const busyEngineer = customers + 1

// browserPassword is the password of who uses the console.
const browserPassword = "the one of the benchmark"

// givePassword lets a person sign in: somebody registers, and the person gets the
// same password.
func (s *stack) givePassword(ctx context.Context, crm *launch.Service, database string, person int) error {
	email := fmt.Sprintf("browser%d@example.com", time.Now().UnixNano())
	body, err := json.Marshal(map[string]string{"name": "Browser", "email": email, "password": browserPassword})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+crm.Address+"/v1/auth/register", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("register: the service answered %d: %s", answer.StatusCode, text)
	}
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `update users set password_hash = (select password_hash from users where email = $1) where id = $2`,
			email, id(userIDs, person))
		return err
	})
}

// browse runs console.mjs.
func (s *stack) browse(ctx context.Context, o options, browser, folder, url string) (seen seenInBrowser, err error) {
	repeat := 40
	if o.turns == 1 {
		repeat = 5
	}
	input, err := json.Marshal(map[string]any{
		"package": folder, "chromium": browser, "url": url, "email": fmt.Sprintf("person%d@example.com", busyEngineer), "password": browserPassword,
		"repeat": repeat,
	})
	if err != nil {
		return seen, err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(s.root, "deploy/bench/console.mjs"), string(input))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	output, err := cmd.Output()
	if err != nil {
		return seen, fmt.Errorf("drive Chromium: %w\n%s", err, complaint.String())
	}
	if err := json.Unmarshal(output, &seen); err != nil {
		return seen, fmt.Errorf("read what Chromium showed: %w", err)
	}
	return seen, nil
}
