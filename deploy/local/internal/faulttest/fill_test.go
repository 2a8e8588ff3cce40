package faulttest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/dev/smtptest"
)

// filling uses what both services offer, so that their databases have rows of every
// kind. The release whose programs the stack has decides what that is.
type filling struct {
	*stack
	t            *testing.T
	in           string // where mail is handed in
	server       *smtptest.Server
	crm          *service
	notification *service
	people       people
	direct       *client // of the notification service
	mails        int
}

// fillAll fills the databases of a stack that nobody uses, and stops the services.
func fillAll(t *testing.T, s *stack) {
	t.Helper()
	f := &filling{stack: s, t: t, in: freeAddress(t)}
	f.server = (&smtptest.Server{Hook: refuseSome}).Start(t, "")
	f.start()
	f.people = newPeople(t, f.crm, 3)
	f.accounts()
	f.tickets()
	f.mailsIn()
	f.notifications()
	f.leaveWork()
}

// refuseSome refuses, delays or loses the mails to some addresses.
func refuseSome(e smtptest.Event) string {
	switch {
	case e.Verb == "RCPT" && strings.Contains(e.Arg, "refused@"):
		return "550 5.7.1 refused"
	case e.Verb == "RCPT" && strings.Contains(e.Arg, "later@"):
		return "450 4.2.0 later"
	case e.Verb == "DOT" && strings.Contains(e.To, "uncertain@"):
		return smtptest.Drop
	}
	return ""
}

func (f *filling) start() {
	f.crm = f.startCRM(f.t, variables{
		"CRM_SUPPORT_ADDRESS": "support@fixdesk.test", "CRM_RATE_LIMIT": "60000+10000", "CRM_RATE_LIMIT_NETWORK": "60000+10000",
	})
	f.startNotify()
}

func (f *filling) startNotify() {
	f.notification = f.startNotification(f.t, variables{
		"NOTIFICATION_SMTP_URL": "smtp://" + f.server.Addr() + "?tls=none", "NOTIFICATION_INBOUND_ADDR": f.in, "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test",
		"NOTIFICATION_BOUNCE_DOMAIN": "bounces.test", "NOTIFICATION_RETRY_BASE": "1h", "NOTIFICATION_RETRY_CAP": "2h", "NOTIFICATION_RATE_LIMIT": "60000+10000",
	})
}

func (f *filling) accounts() {
	p, admin := f.people, f.people.admin
	for _, name := range []string{"Wendy", "Rhea"} {
		account := object{"name": name, "email": strings.ToLower(name) + "@engineer.example", "password": password, "role": "engineer"}
		id := admin.with("").must(f.t, "POST", "/v1/auth/register", account, 201).id()
		if name == "Rhea" {
			admin.must(f.t, "POST", "/v1/registrations/"+id+"/reject", object{"reason": "Unknown here."}, 200)
		}
	}
	suspended := admin.customer(f.t, "Sam")
	admin.must(f.t, "PATCH", "/v1/users/"+suspended.id, object{"status": "suspended", "reason": "Spam."}, 200)
	erased := admin.customer(f.t, "Ed")
	admin.must(f.t, "DELETE", "/v1/users/"+erased.id, nil, 204)
	admin.must(f.t, "POST", "/v1/users", object{"name": "Ivy", "email": "ivy@customer.example", "role": "customer"}, 201)
	admin.staff(f.t, "admin", "Adam")
	admin.with("").must(f.t, "POST", "/v1/auth/password/forgot", object{"email": p.customer.email}, 202)
	admin.with("").must(f.t, "POST", "/v1/auth/login", object{"email": p.customer.email, "password": "a wrong password"}, 401)
	p.customer.must(f.t, "POST", "/v1/auth/verify/resend", nil, 202)
	admin.must(f.t, "POST", "/v1/keys", object{"name": "Report", "scopes": []string{"tickets:read"}}, 201)
	p.engineers[2].must(f.t, "PUT", "/v1/me/preferences", object{"events": object{"ticket_changed": "none"}, "digest": "daily", "digest_hour": 7, "time_zone": "Europe/Berlin"}, 200)
}

// tickets makes tickets in each status, with comments, files, followers and a refusal.
func (f *filling) tickets() {
	c, admin := f.people.customer, f.people.admin
	raise := func(title, priority string) string {
		return c.must(f.t, "POST", "/v1/tickets", object{"title": title, "description": "It smokes and smells. " + title, "priority": priority}, 201).id()
	}
	raise("Open", "low")
	for i, status := range []string{"in_progress", "blocked", "resolved", "closed"} {
		e := f.people.engineers[i%2]
		path := "/v1/tickets/" + raise("Will be "+status, []string{"normal", "high", "urgent"}[i%3])
		admin.must(f.t, "POST", path+"/assign", object{"engineer_id": e.id}, 200)
		e.must(f.t, "POST", path+"/accept", nil, 200)
		e.must(f.t, "POST", path+"/comments", object{"body": "Have you tried to turn it off?"}, 201)
		e.must(f.t, "POST", path+"/comments", object{"body": "It is old.", "internal": true}, 201)
		e.must(f.t, "POST", path+"/followers", object{"email": "fiona@customer.example", "name": "Fiona"}, 201)
		switch status {
		case "blocked":
			e.must(f.t, "PATCH", path, object{"status": status, "blocked_reason": "A part is missing.", "waiting_for": "customer"}, 200)
		case "resolved", "closed":
			e.must(f.t, "PATCH", path, object{"status": "resolved", "resolution": "A new fuse."}, 200)
		}
		if status == "closed" {
			admin.must(f.t, "PATCH", path, object{"status": status}, 200)
		}
		c.must(f.t, "POST", path+"/comments", object{"body": "Thank you.", "attachment_ids": []string{f.upload(c.client, "photo.png")}}, 201)
	}
	declined := "/v1/tickets/" + raise("Declined", "normal")
	admin.must(f.t, "POST", declined+"/assign", object{"engineer_id": f.people.engineers[0].id}, 200)
	f.people.engineers[0].must(f.t, "POST", declined+"/decline", object{"reason": "I know no printers."}, 200)
	digested := "/v1/tickets/" + raise("For a digest", "normal")
	admin.must(f.t, "POST", digested+"/assign", object{"engineer_id": f.people.engineers[2].id}, 200)
	f.people.engineers[2].must(f.t, "PATCH", "/v1/me", object{"available": false}, 200)
	a, err := c.do(f.t.Context(), "POST", "/v1/tickets", newTicket(1), "Idempotency-Key", "filled-once")
	if err != nil || a.status != 201 {
		f.t.Fatalf("%v %s", err, a.body)
	}
}

// upload stores a small image and returns its id.
func (f *filling) upload(c *client, name string) string {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _ = part.Write(pixel)
	_ = w.Close()
	request, err := http.NewRequestWithContext(context.Background(), "POST", c.url+"/v1/attachments", &body)
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", w.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := c.http.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body)
	a := answer{status: response.StatusCode, body: text.Bytes()}
	if a.status != 201 {
		f.t.Fatalf("upload: %d %s", a.status, a.body)
	}
	return a.id()
}

// pixel is a PNG of one pixel.
var pixel, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

// mailsIn hands in mails that become a ticket and a comment, and one that is automatic.
func (f *filling) mailsIn() {
	f.hand("ada@example.com", "", "Subject: My screen is dark\r\n", "It is dark.")
	f.processed()
	var number int
	if err := f.stack.crm.QueryRow(f.t.Context(), "select number from tickets where title = 'My screen is dark'").Scan(&number); err != nil {
		f.t.Fatal(err)
	}
	f.hand("ada@example.com", f.answerAddress("ada@example.com"), fmt.Sprintf("Subject: Re: [#%d] My screen is dark\r\n", number), "It is still dark.")
	f.hand("robot@example.com", "", "Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n", "I am away.")
	f.hand("stranger@example.com", f.answerAddress("ada@example.com"), "Subject: Re: My screen\r\n", "Let me see.")
	f.processed()
}

// answerAddress is that of the newest mail to a person.
func (f *filling) answerAddress(to string) (address string) {
	eventually(f.t, "the receipt is sent", func() bool {
		for _, m := range f.server.Messages() {
			if m.To == to && header(f.t, m, "Reply-To") != "" {
				address = header(f.t, m, "Reply-To")
			}
		}
		return address != ""
	})
	return strings.Trim(address[strings.LastIndex(address, " ")+1:], "<>")
}

// hand hands in a mail; to is the support address unless given.
func (f *filling) hand(from, to, headers, text string) {
	if to == "" {
		to = "support@fixdesk.test"
	}
	f.mails++
	message := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%d@example.com>\r\n%s\r\n%s\r\n", from, to, f.mails, headers, text)
	if err := smtp.SendMail(f.in, nil, from, []string{to}, []byte(message)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filling) processed() {
	eventually(f.t, "mails that came in are processed", func() bool {
		return count(f.t, f.notify, "select count(*) from inbound_mails where status in ('received', 'pending')") == 0
	})
}

// notifications makes recipients in each status.
func (f *filling) notifications() {
	f.direct = newClient(f.t, f.notification.url, f.serviceToken(f.t, "notifications:write notifications:read notifications:manage"))
	f.direct.must(f.t, "POST", "/v1/suppressions", object{"email": "suppressed@example.com", "reason": "They asked."}, 200)
	later := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	f.request("later@example.com", object{})
	f.request("refused@example.com", object{"priority": "bulk"})
	f.request("suppressed@example.com", object{})
	f.request("sensitive@example.com", object{"sensitive": true, "priority": "urgent"})
	f.request("file@example.com", object{"attachments": []object{{"filename": "a.png", "media_type": "image/png", "content": base64.StdEncoding.EncodeToString(pixel)}}})
	f.request("queued@example.com", object{"not_before": later})
	canceled := f.request("canceled@example.com", object{"not_before": later})
	f.direct.must(f.t, "POST", "/v1/notifications/"+canceled+"/cancel", nil, 200)
	f.request("later@expired.example.com", object{"expires_at": time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)})
	f.request("bounced@example.com", object{})
	f.bounce("bounced@example.com")
	f.request("uncertain@example.com", object{})
	for _, status := range []string{"delayed", "failed", "suppressed", "canceled", "expired", "bounced", "uncertain", "queued", "sent"} {
		eventually(f.t, "a recipient is "+status, func() bool {
			return count(f.t, f.notify, "select count(*) from recipients where status::text = $1", status) > 0
		})
	}
}

func (f *filling) request(to string, more object) string {
	body := object{"recipients": []string{to}, "requester": "upgrade", "subject": "Hello", "text": "A text."}
	for name, value := range more {
		body[name] = value
	}
	a, err := f.direct.do(context.Background(), "POST", "/v1/notifications", body, "Idempotency-Key", randomKey())
	if err != nil || a.status != 202 {
		f.t.Fatalf("%v %d %s", err, a.status, a.body)
	}
	return a.id()
}

// bounce hands in a delivery report about the mail to an address.
func (f *filling) bounce(address string) {
	from := ""
	eventually(f.t, "the mail is sent", func() bool {
		for _, m := range f.server.Messages() {
			if m.To == address {
				from = m.From
			}
		}
		return from != ""
	})
	report := strings.ReplaceAll("From: MAILER-DAEMON@mx.example.org\nTo: "+from+"\nSubject: Undelivered\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nIt was not delivered.\n"+
		"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; "+address+"\nAction: failed\nStatus: 5.1.1\n--b--\n", "\n", "\r\n")
	if err := smtp.SendMail(f.in, nil, "", []string{from}, []byte(report)); err != nil {
		f.t.Fatal(err)
	}
}

// leaveWork stops both services so that each has work left: a mail that came in, an
// entry of the outbox, and one that was given up.
func (f *filling) leaveWork() {
	f.crm.terminate(f.t)
	f.hand("ada@example.com", "", "Subject: Nobody reads this yet\r\n", "It is dark again.")
	eventually(f.t, "the mail is stored", func() bool {
		return count(f.t, f.notify, "select count(*) from inbound_mails where status = 'pending'") == 1
	})
	f.notification.terminate(f.t)
	f.exec("update outbox set done_at = null, dead_at = now() where id = (select id from outbox where kind = 'ticket_received' and done_at is not null order by id limit 1)")
	// Reports have days and hours that are over alone.
	f.exec("update tickets set created_at = created_at - interval '2 days'")
	f.exec("update ticket_events set created_at = created_at - interval '2 days'")
	f.crm = f.startCRM(f.t, variables{"CRM_SUPPORT_ADDRESS": "support@fixdesk.test"})
	f.people.customer.must(f.t, "POST", "/v1/tickets", newTicket(2), 201)
	eventually(f.t, "days and hours are counted and events have positions", func() bool {
		return count(f.t, f.stack.crm, "select least((select count(*) from ticket_report_days), (select count(*) from ticket_report_hours))") > 0 && count(f.t, f.stack.crm, "select count(*) from ticket_events where position is null") == 0
	})
	f.crm.terminate(f.t)
}

func (f *filling) exec(sql string) {
	f.t.Helper()
	if _, err := f.stack.crm.Exec(context.Background(), sql); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// serviceToken is a token for the notification API.
func (s *stack) serviceToken(t *testing.T, scopes string) string {
	t.Helper()
	output, err := exec.Command(filepath.Join(s.bin, "crm"), "token", "--scope", scopes, "--file", s.keys).Output()
	if err != nil {
		t.Fatalf("make a service token: %v", err)
	}
	return strings.TrimSpace(string(output))
}
