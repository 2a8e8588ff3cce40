package email

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gomail "github.com/wneessen/go-mail"
)

func TestServerURLSelectsTLSPolicyPortAndLogin(t *testing.T) {
	tests := map[string]Server{
		"smtp://localhost:1025":                         {Host: "localhost", Port: 1025, TLS: TLSNone},
		"smtp://127.0.0.1":                              {Host: "127.0.0.1", Port: 25, TLS: TLSNone},
		"smtp://[::1]:2525":                             {Host: "::1", Port: 2525, TLS: TLSNone},
		"smtp://mail.example.com":                       {Host: "mail.example.com", Port: 25, TLS: TLSRequired},
		"smtp://joe:pa%40ss@mail.example.com":           {Host: "mail.example.com", Port: 587, TLS: TLSRequired, User: "joe", Password: "pa@ss"},
		"smtps://joe:x@mail.example.com":                {Host: "mail.example.com", Port: 465, TLS: TLSImplicit, User: "joe", Password: "x"},
		"smtp://mailpit:1025?tls=none":                  {Host: "mailpit", Port: 1025, TLS: TLSNone},
		"smtp://localhost?tls=required":                 {Host: "localhost", Port: 25, TLS: TLSRequired},
		" smtp://j:t@mail.example.com:26?auth=xoauth2 ": {Host: "mail.example.com", Port: 26, TLS: TLSRequired, User: "j", Password: "t", Auth: gomail.SMTPAuthXOAUTH2},
	}
	for raw, want := range tests {
		got, err := ParseServer(raw)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}

func TestServerURLThatCantWorkIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, raw := range []string{
		"", "mail.example.com:25", "http://joe:canary@host", "smtp://", "smtp://joe:canary@host:0", "smtp://joe:canary@host:99999",
		"smtp://joe:canary@host:x", "smtp://joe:canary@host/path", "smtp://joe:canary@host?tls=maybe", "smtp://joe:canary@host?auth=magic",
		"smtp://host?auth=plain", "smtps://joe:canary@host?tls=none", "smtp://joe:canary@host?verbose=1", "smtp://joe:can%ary@host",
	} {
		_, err := ParseServer(raw)
		if !errors.Is(err, ErrServerURL) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestPlainTextIsAllowedOnlyToALocalServer(t *testing.T) {
	for raw, want := range map[string]bool{
		"smtp://localhost": false, "smtp://127.0.0.1": false, "smtp://mail.example.com": false, "smtps://mail.example.com": false,
		"smtp://mail.example.com?tls=none": true, "smtp://mail.example.com?tls=opportunistic": true,
	} {
		s, err := ParseServer(raw)
		if err != nil || s.MayBePlainText() != want {
			t.Errorf("%s: %v, %v", raw, s.MayBePlainText(), err)
		}
	}
}

func TestOpenCircuitAllowsOneProbeAfterEachPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &circuit{base: time.Second, cap: 8 * time.Second}
		isOpen := func() bool {
			var s ServerStatus
			c.status(&s)
			return s.Open
		}
		first, ok := c.allow(time.Now())
		if !ok {
			t.Fatal("a new circuit is open")
		}
		old, _ := c.allow(time.Now())
		first.serverTrouble(time.Now(), "421")
		old.success() // began before the trouble
		if _, ok := c.allow(time.Now()); ok || !isOpen() {
			t.Fatal("still closed after trouble")
		}
		longest := time.Duration(0)
		for i := range 8 {
			pause := time.Until(c.usableAt(time.Now()))
			longest = max(longest, pause)
			time.Sleep(pause)
			probe, ok := c.allow(time.Now())
			if !ok || !probe.probe {
				t.Fatal("no probe when its time has come")
			}
			if _, second := c.allow(time.Now()); second {
				t.Fatal("two probes at once")
			}
			if i%2 == 0 {
				probe.serverTrouble(time.Now(), "421 again")
			} else {
				probe.recipientTrouble(time.Now(), "anna@example.org", "421 at RCPT")
			}
			probe.release() // without effect after a report
		}
		if longest < 4*time.Second || longest > 8*time.Second {
			t.Errorf("the longest pause was %v, want between half of the cap and the cap", longest)
		}
		time.Sleep(time.Minute)
		probe, _ := c.allow(time.Now())
		probe.release()
		probe, ok = c.allow(time.Now())
		if !ok {
			t.Fatal("a probe that was not used is lost")
		}
		probe.success()
		if _, ok := c.allow(time.Now()); !ok || isOpen() || !c.usableAt(time.Now()).IsZero() {
			t.Error("still open after a success")
		}
	})
}

func TestSuccessClearsTheSuspectedRecipients(t *testing.T) {
	c := &circuit{base: time.Second, cap: time.Second}
	for i := range 4 * recipientsToOpen {
		p, ok := c.allow(time.Now())
		if !ok {
			t.Fatal("opened although mails pass in between")
		}
		if i%recipientsToOpen == 0 {
			p.success()
			continue
		}
		p.recipientTrouble(time.Now(), string(rune('a'+i)), "421")
	}
}
