package app_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// report fails the test with the findings of a check.
func report(t testing.TB, wrong []string) {
	t.Helper()
	for _, w := range wrong {
		t.Error(w)
	}
}

// mustFind fails the test unless each part is in a report of wrong.
func mustFind(t testing.TB, wrong []string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, part) }) {
			t.Errorf("%q was not reported without the safeguard: the trial can't fail; it reported %q", part, wrong)
		}
	}
}

// notOnceEach names the acknowledged addresses that got no mail, or several.
func notOnceEach(acked map[string]uuid.UUID, messages []smtptest.Message) (wrong []string) {
	got := counts(messages)
	for email := range acked {
		switch n := got[email]; {
		case n == 0:
			wrong = append(wrong, email+" lost its mail")
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s got %d mails", email, n))
		}
	}
	return wrong
}

// differingRepeats names the addresses whose mail was repeated with other bytes.
func differingRepeats(messages []smtptest.Message) (wrong []string) {
	first := map[string]string{}
	for _, m := range messages {
		if data, seen := first[m.To]; seen && data != m.Data {
			wrong = append(wrong, fmt.Sprintf("the repeat for %s differs:\n%s\n%s", m.To, data, m.Data))
		}
		first[m.To] = m.Data
	}
	return wrong
}

// badRefusals names the errors that are answers other than 503 with Retry-After.
func badRefusals(refused []error) (wrong []string) {
	for _, err := range refused {
		var answer *notifyapi.Error
		if errors.As(err, &answer) && (answer.Status != 503 || answer.RetryAfter == 0) {
			wrong = append(wrong, fmt.Sprintf("answered %v, want 503 with Retry-After", err))
		}
	}
	return wrong
}

// extraAttempts names the recipients that needed more than one attempt.
func extraAttempts(recipients []notifyapi.Recipient) (wrong []string) {
	for _, r := range recipients {
		if r.Attempts != 1 {
			wrong = append(wrong, fmt.Sprintf("%s took %d attempts", r.Email, r.Attempts))
		}
	}
	return wrong
}

// isRefused reports whether the connection was refused, or was idle and closed
// before the request was sent.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &op) && op.Op == "dial" ||
		strings.Contains(err.Error(), "server closed idle connection")
}

func TestControlMissingDoubledOrChangedMailIsReported(t *testing.T) {
	t.Parallel()
	acked := map[string]uuid.UUID{"anna@example.org": {}, "bert@example.org": {}}
	anna := smtptest.Message{To: "anna@example.org", Data: "Date: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\n--part-01\r\nHello"}
	bert := smtptest.Message{To: "bert@example.org", Data: "Hello"}
	with := func(from, to string) smtptest.Message {
		return smtptest.Message{To: anna.To, Data: strings.Replace(anna.Data, from, to, 1)}
	}
	const lost, doubled, differs = "bert@example.org lost its mail", "anna@example.org got 2 mails", "the repeat for anna@example.org differs"
	for name, tc := range map[string]struct {
		messages []smtptest.Message
		want     []string
	}{
		"one each":             {[]smtptest.Message{bert, anna}, nil},
		"one missing":          {[]smtptest.Message{anna}, []string{lost}},
		"one doubled":          {[]smtptest.Message{anna, bert, anna}, []string{doubled}},
		"again, another date":  {[]smtptest.Message{anna, bert, with("15:04:05", "15:04:06")}, []string{doubled, differs}},
		"again, other borders": {[]smtptest.Message{anna, bert, with("part-01", "part-02")}, []string{doubled, differs}},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := append(notOnceEach(acked, tc.messages), differingRepeats(tc.messages)...)
			if len(wrong) != len(tc.want) {
				t.Errorf("reported %q, want %q", wrong, tc.want)
			}
			mustFind(t, wrong, tc.want...)
		})
	}
}

func TestControlRefusalOtherThan503WithRetryAfterIsReported(t *testing.T) {
	t.Parallel()
	refusals := map[string]error{
		"500":                     &notifyapi.Error{Status: 500, RetryAfter: 1},
		"503 without Retry-After": &notifyapi.Error{Status: 503},
	}
	for name, err := range refusals {
		if len(badRefusals([]error{err})) != 1 {
			t.Errorf("%s was not reported", name)
		}
	}
	if wrong := badRefusals([]error{&notifyapi.Error{Status: 503, RetryAfter: 1}}); len(wrong) > 0 {
		t.Errorf("a good refusal was reported: %q", wrong)
	}
	if wrong := badRefusals(slices.Collect(maps.Values(refusals))); len(wrong) != len(refusals) {
		t.Errorf("reported only %q", wrong)
	}
}
