package errs_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fixdesk/pkg/errs"
)

func TestErrorHasItsCauseAndMessageDoesNot(t *testing.T) {
	cause := errors.New("connection refused")
	base := errs.New(errs.Unavailable, errs.CodeUnavailable, "Try again soon.")
	err := fmt.Errorf("create ticket: %w", base.Because(cause).After(3*time.Second))

	got := errs.As(err)
	if got == nil || got.RetryAfter != 3*time.Second || got.Message != "Try again soon." {
		t.Fatalf("As(%v) = %+v", err, got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if base.RetryAfter != 0 || errors.Is(base, cause) {
		t.Error("Because and After changed the original")
	}
	if !errs.HasCode(err, errs.CodeUnavailable) || errs.HasCode(cause, errs.CodeUnavailable) {
		t.Error("HasCode is wrong")
	}
}
