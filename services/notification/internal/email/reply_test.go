package email

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"fixdesk/pkg/notifyapi"
)

func FuzzServerReplyCanBeStored(f *testing.F) {
	for _, s := range []string{"5.1.1 no", "4.4.5 congested", "\x00\xff\r\n", " 4.", "4.4.", strings.Repeat("ü", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		failure := failed(phaseRcpt, &textproto.Error{Code: 450, Msg: s})
		if !utf8.ValidString(failure.reply) || len(failure.reply) > maxReply || strings.ContainsAny(failure.reply, "\x00\r\n") {
			t.Errorf("text %q", failure.reply)
		}
		if code := failure.enhanced(); code != "" && strings.Count(code, ".") != 1 {
			t.Errorf("enhanced code %q", code)
		}
		failure.isThrottling()
	})
}

func TestConnectionThatTheServerClosedIsSaidInWords(t *testing.T) {
	for err, want := range map[error]string{
		io.EOF:                             "the server closed the connection without a reply",
		io.ErrUnexpectedEOF:                "the server closed the connection without a reply",
		fmt.Errorf("greeting: %w", io.EOF): "greeting: the server closed the connection without a reply",
		errors.New("no route to host"):     "no route to host", // the control
	} {
		if got := failed(phaseDot, err).reply; got != want {
			t.Errorf("%v is %q", err, got)
		}
	}
}

func TestEveryReplyHasOneMeaning(t *testing.T) {
	for p := phaseDial; p <= phaseMessage; p++ {
		for _, code := range []int{0, 220, 250, 252, 354, 421, 450, 451, 452, 454, 500, 530, 535, 550, 552, 554} {
			o, from := meaning(failure{phase: p, code: code}, false)
			if (from == originServer) != (o == NotTried) || (o == NotTried) != (p < phaseRcpt) {
				t.Errorf("phase %d code %d: %s, origin %v", p, code, o, from)
			}
			if o == notifyapi.OutcomeUncertain && p != phaseDot || o == notifyapi.OutcomeSent {
				t.Errorf("phase %d code %d: %s", p, code, o)
			}
		}
	}
}

func TestThrottlingIsDistinguishedFromOtherTemporaryRefusals(t *testing.T) {
	for reply, want := range map[string]bool{
		"454 Throttling failure: Maximum sending rate exceeded.": true,
		"421 4.7.0 Too many messages from your address":          true,
		"450 4.7.1 You are sending too fast, slow down":          true,
		"451 4.4.5 try again":                                    true,
		"452 4.5.3 try again":                                    true,
		"421 4.7.28 unusual":                                     true,
		"450 4.2.1 The user is receiving mail too quickly":       false,
		"450 4.2.0 Greylisted, try again in 5 minutes":           false,
		"451 4.3.0 Local error":                                  false,
		"421 4.3.2 Shutting down":                                false,
		"550 5.7.1 Too many complaints: refused for good":        false,
		"452 4.2.2 Mailbox full":                                 false,
	} {
		code, _ := strconv.Atoi(reply[:3])
		if got := failed(phaseRcpt, &textproto.Error{Code: code, Msg: reply[4:]}).isThrottling(); got != want {
			t.Errorf("%s: %v", reply, got)
		}
	}
	dial := failed(phaseDial, &textproto.Error{Code: 454, Msg: "4.7.0 TLS not available"})
	if dial.isThrottling() {
		t.Error("454 before MAIL is a refused login or TLS")
	}
}
