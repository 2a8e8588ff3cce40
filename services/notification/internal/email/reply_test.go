package email

import (
	"strings"
	"testing"
	"unicode/utf8"

	"fixdesk/pkg/notifyapi"
)

func FuzzServersTextIsAlwaysFitToBeStored(f *testing.F) {
	for _, s := range []string{"550 \"5.1.1 no\"", "250", "421 x", "\x00\xff\r\n", "999 z", strings.Repeat("ü", 400), `550 "unterminated`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, text := splitReply(s)
		if code != 0 && (code < 200 || code > 599) {
			t.Errorf("code %d", code)
		}
		if !utf8.ValidString(text) || len(text) > maxReply || strings.ContainsAny(text, "\x00\r\n") {
			t.Errorf("text %q", text)
		}
	})
}

func TestEveryReplyHasExactlyOneMeaning(t *testing.T) {
	for p := phaseDial; p <= phaseMessage; p++ {
		for _, code := range []int{0, 220, 250, 252, 354, 421, 450, 451, 452, 454, 500, 530, 535, 550, 552, 554} {
			v, trouble := meaning(p, code, false)
			if trouble != (v == NotTried) {
				t.Errorf("phase %d code %d: %s, trouble %v", p, code, v, trouble)
			}
			if v == notifyapi.OutcomeUncertain && p != phaseDot || v == notifyapi.OutcomeSent && (p != phaseDot || code/100 != 2) {
				t.Errorf("phase %d code %d: %s", p, code, v)
			}
		}
	}
}
