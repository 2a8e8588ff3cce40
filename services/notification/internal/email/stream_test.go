package email

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// sendAll sends mails over one stream, each behind the one before where that is
// possible. Mails that are given back are sent at the end.
func sendAll(t *testing.T, pool *Pool, mails ...Mail) map[string]Result {
	t.Helper()
	stream := pool.Stream()
	defer stream.Drop()
	results := map[string]Result{}
	var next *Mail
	for len(mails) > 0 || next != nil {
		var m Mail
		if next != nil {
			m, next = *next, nil
		} else {
			m, mails = mails[0], mails[1:]
		}
		results[m.To] = stream.Send(t.Context(), m, Next{
			Take: func() (Mail, bool) {
				if len(mails) == 0 {
					return Mail{}, false
				}
				next, mails = &mails[0], mails[1:]
				return *next, true
			},
			GiveBack: func() { mails, next = append(mails, *next), nil },
		})
	}
	return results
}

func threeMails() []Mail {
	return []Mail{aMail("a@example.org"), aMail("b@example.org"), aMail("c@example.org")}
}

// wrongOutcomes names the mails whose result is not what the server knows: a mail is
// uncertain if the code of the reply to its end did not come whole, and else sent, and
// each was taken once.
func wrongOutcomes(results map[string]Result, messages []smtptest.Message, uncertain string) (wrong []string) {
	for _, m := range threeMails() {
		taken := 0
		for _, message := range messages {
			if message.To == m.To {
				taken++
			}
		}
		if taken != 1 {
			wrong = append(wrong, fmt.Sprintf("%s was taken %d times", m.To, taken))
		}
		want := notifyapi.OutcomeSent
		if m.To == uncertain {
			want = notifyapi.OutcomeUncertain
		}
		if got := results[m.To]; got.Outcome != want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want %s: %s", m.To, got.Outcome, want, got.Reply))
		}
	}
	return wrong
}

// cutTrial sends three mails through a server that closes its first connection within
// its reply to a step of one of them, behind n bytes. It reports false when the reply
// is no longer than that.
func cutTrial(t *testing.T, srv *smtptest.Server, verb, to string, n int) (wrong []string, cut bool) {
	t.Helper()
	var mails atomic.Int32
	uncertain := ""
	var reached atomic.Bool
	srv.Cut = func(e smtptest.Event, reply string) int {
		who := e.To
		switch e.Verb {
		case "MAIL":
			who = string(rune('a'+mails.Add(1)-1)) + "@example.org"
		case "RCPT":
			who = e.Arg
		}
		if e.Session != 1 || e.Verb != verb || who != to || n >= len(reply) {
			return len(reply)
		}
		reached.Store(true)
		// The code and the blank behind it, in the last line.
		if last := strings.LastIndex(strings.TrimSuffix(reply, "\r\n"), "\n") + 1; verb == "DOT" && n < last+len("250 ") {
			uncertain = to
		}
		return n
	}
	srv.Start(t, "")
	defer srv.Close()
	pool := newPool(t, nil, serverAt(t, srv))
	defer pool.Close()
	results := sendAll(t, pool, threeMails()...)
	return wrongOutcomes(results, srv.Messages(), uncertain), reached.Load()
}

func TestReplyCutAtEachByteLeavesNoMailLostDoubledOrWrong(t *testing.T) {
	for name, server := range map[string]func() *smtptest.Server{
		"pipelining": func() *smtptest.Server { return &smtptest.Server{} },
		"one by one": func() *smtptest.Server { return &smtptest.Server{NoPipelining: true} },
		"several lines": func() *smtptest.Server {
			return &smtptest.Server{Hook: at("DOT", "", "250-2.0.0 Ok\r\n250 2.0.0 Taken")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"MAIL", "RCPT", "DATA", "DOT"} {
				for _, to := range []string{"a@example.org", "b@example.org", "c@example.org"} {
					for n := 0; ; n++ {
						wrong, cut := cutTrial(t, server(), verb, to, n)
						for _, w := range wrong {
							t.Errorf("cut behind %d bytes of the reply to %s of %s: %s", n, verb, to, w)
						}
						if !cut {
							if n < len("250 2.0.0 Ok") {
								t.Errorf("the reply to %s of %s was never cut", verb, to)
							}
							break
						}
					}
				}
			}
		})
	}
}

func TestControlRepliesThatAreShiftedAreReported(t *testing.T) {
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		switch {
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "a"):
			return "250 2.0.0 Ok\r\n250 2.0.0 Ok" // each later reply is read as the one before it
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "b"):
			return "451 4.3.0 Not taken"
		}
		return ""
	}}).Start(t, "")
	pool := newPool(t, func(c *Config) { c.Timeouts = timeouts(10 * time.Second) }, serverAt(t, srv))
	if wrong := wrongOutcomes(sendAll(t, pool, threeMails()...), srv.Messages(), ""); len(wrong) == 0 {
		t.Error("replies that were read for the wrong mail were not reported: the trial can't fail")
	}
}

func TestControlUncertainMailThatIsRepeatedIsReported(t *testing.T) {
	srv := (&smtptest.Server{Cut: func(e smtptest.Event, reply string) int {
		if e.Session == 1 && e.Verb == "DOT" && strings.HasPrefix(e.To, "b") {
			return 2
		}
		return len(reply)
	}}).Start(t, "")
	pool := newPool(t, nil, serverAt(t, srv))
	results := sendAll(t, pool, threeMails()...)
	for _, m := range threeMails() {
		if results[m.To].Outcome == notifyapi.OutcomeUncertain {
			results[m.To] = pool.Send(t.Context(), m)
		}
	}
	wrong := wrongOutcomes(results, srv.Messages(), "")
	if !slices.Contains(wrong, "b@example.org was taken 2 times") {
		t.Errorf("a mail that was sent twice was not reported: %q", wrong)
	}
}

func TestMailsFollowEachOtherInOneRoundTripEach(t *testing.T) {
	for name, follow := range map[string]bool{"pipelining": true, "not offered": false} {
		t.Run(name, func(t *testing.T) {
			var order []string
			srv := &smtptest.Server{NoPipelining: !follow}
			srv.Hook = func(e smtptest.Event) string {
				order = append(order, e.Verb)
				return ""
			}
			srv.Start(t, "")
			pool := newPool(t, nil, serverAt(t, srv))
			if wrong := wrongOutcomes(sendAll(t, pool, threeMails()...), srv.Messages(), ""); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			pool.Close()
			srv.Close()
			if n := len(srv.Verbs("CONNECT")); n != 1 {
				t.Errorf("%d connections", n)
			}
			want := []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT", "MAIL", "RCPT", "DATA", "DOT", "MAIL", "RCPT", "DATA", "DOT", "QUIT"}
			if !slices.Equal(order, want) {
				t.Errorf("%q", order)
			}
		})
	}
}

func TestMailBehindASlowOneIsSentOverAnotherConnection(t *testing.T) {
	release := make(chan struct{})
	srv := &smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "DOT" && strings.HasPrefix(e.To, "a") {
			<-release
		}
		return ""
	}}
	srv.Start(t, "")
	t.Cleanup(func() { close(release) })
	pool := newPool(t, nil, serverAt(t, srv))
	stream, mails := pool.Stream(), threeMails()
	given := make(chan struct{})
	done := make(chan Result, 1)
	go func() {
		done <- stream.Send(t.Context(), mails[0], Next{
			Take:     func() (Mail, bool) { return mails[1], true },
			GiveBack: func() { close(given) },
		})
	}()
	<-given
	if r := pool.Send(t.Context(), mails[1]); r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("the mail behind: %+v", r)
	}
	follows := pool.servers[0].mayFollow(time.Now())
	if follows {
		t.Error("mails are still sent behind others on a server that is slow")
	}
	release <- struct{}{}
	if r := <-done; r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("the slow mail: %+v", r)
	}
	if srv.Count("a@example.org") != 1 || srv.Count("b@example.org") != 1 || srv.Count("") != 2 {
		t.Errorf("taken: %d", srv.Count(""))
	}
}

func TestRefusedMailLeavesTheOneBehindItAlone(t *testing.T) {
	for _, tc := range []struct{ verb, reply string }{
		{"MAIL", "550 5.7.1 Not you"}, {"RCPT", "550 5.1.1 No such user"}, {"RCPT", "450 4.2.0 Greylisted"}, {"DATA", "554 5.5.1 No"},
		{"DOT", "554 5.6.0 Spam"}, {"DOT", "452 4.3.1 Full"}, {"DOT", "421 4.3.2 Bye"}, {"RCPT", "421 4.3.2 Bye"}, {"DOT", smtptest.Drop},
	} {
		for refused := range 3 {
			t.Run(fmt.Sprint(tc, refused), func(t *testing.T) {
				mails := threeMails()
				var count atomic.Int32
				srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
					if e.Verb == "MAIL" {
						if int(count.Add(1)) == refused+1 && tc.verb == "MAIL" {
							return tc.reply
						}
						return ""
					}
					return at(tc.verb, mails[refused].To, tc.reply)(e)
				}}).Start(t, "")
				pool := newPool(t, func(c *Config) { c.CircuitBase, c.CircuitCap = time.Nanosecond, time.Nanosecond }, serverAt(t, srv))
				results := sendAll(t, pool, mails...)
				for i, m := range mails {
					if sent := results[m.To].Outcome == notifyapi.OutcomeSent; sent == (i == refused) || srv.Count(m.To) == 1 == (i == refused) {
						t.Errorf("%s: %+v, taken %d times", m.To, results[m.To], srv.Count(m.To))
					}
				}
			})
		}
	}
}

func TestMailThatHasBegunIsNotSentAfterTheStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "DOT" {
			stop()
		}
		return ""
	}}).Start(t, "")
	pool, mails := newPool(t, nil, serverAt(t, srv)), threeMails()
	stream := pool.Stream()
	if r := stream.Send(ctx, mails[0], Next{Take: func() (Mail, bool) { return mails[1], true }}); r.Outcome != notifyapi.OutcomeSent {
		t.Fatalf("%+v", r)
	}
	if stream.begun == nil {
		t.Fatal("the next mail has not begun: the trial shows nothing")
	}
	if r := stream.Send(ctx, mails[1], Next{}); r.Outcome != NotTried {
		t.Errorf("after the stop: %+v", r)
	}
	if live := pool.servers[0].live; live != 0 || srv.Count("") != 1 || pool.Status()[0].Open {
		t.Errorf("%d connections, %d mails taken, status %+v", live, srv.Count(""), pool.Status())
	}
}

func TestMailThatHasBegunIsNotSentAsAnother(t *testing.T) {
	srv := (&smtptest.Server{}).Start(t, "")
	pool, mails := newPool(t, nil, serverAt(t, srv)), threeMails()
	stream := pool.Stream()
	stream.Send(t.Context(), mails[0], Next{Take: func() (Mail, bool) { return mails[1], true }})
	if r := stream.Send(t.Context(), mails[2], Next{}); r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("%+v", r)
	}
	if srv.Count(mails[1].To) != 0 || srv.Count(mails[2].To) != 1 {
		t.Errorf("%d and %d mails were taken", srv.Count(mails[1].To), srv.Count(mails[2].To))
	}
}

// TestMailsOfAStreamAreWholeThoughTheyShareBuffers sends mails of several lengths over one
// stream, some of which are refused at different steps.
func TestMailsOfAStreamAreWholeThoughTheyShareBuffers(t *testing.T) {
	for name, srv := range map[string]*smtptest.Server{"pipelining": {}, "one by one": {NoPipelining: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv.Hook = func(e smtptest.Event) string {
				if e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "refused") || e.Verb == "DOT" && strings.HasPrefix(e.To, "rejected") {
					return "550 5.1.1 No"
				}
				return ""
			}
			srv.Start(t, "")
			pool := newPool(t, nil, serverAt(t, srv))
			var mails []Mail
			for i := range 60 {
				m := aMail(fmt.Sprintf("%s%d@example.org", []string{"taken", "refused", "taken", "rejected"}[i%4], i))
				m.Shared, m.Text = i%5 > 0, strings.Repeat(fmt.Sprintf("line %d\n", i%3), []int{1, 100, 5000}[i%3])
				mails = append(mails, m)
			}
			sendAll(t, pool, mails...)
			messages := map[string]string{}
			for _, message := range srv.Messages() {
				messages[message.To] = message.Data
			}
			for _, m := range mails {
				if !strings.HasPrefix(m.To, "taken") {
					continue
				}
				whole, err := pool.config.Sender.content(m)
				if err != nil {
					t.Fatal(err)
				}
				if got := messages[m.To]; got != string(whole) {
					t.Errorf("%s got %d bytes, want its own %d", m.To, len(got), len(whole))
				}
			}
			if len(messages) != 30 {
				t.Errorf("%d mails were taken, want 30", len(messages))
			}
		})
	}
}
