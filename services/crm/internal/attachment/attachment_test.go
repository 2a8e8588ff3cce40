package attachment_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
)

func TestUploadedFileIsReadBackByteForByte(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	for _, size := range []int{0, 1, 3071, 3072, 256<<10 - 1, 256 << 10, 256<<10 + 1, 700_000} {
		content := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		f := d.upload(customer, "notes.txt", content)
		sum := sha256.Sum256(content)
		if f.Size != int64(size) || f.SHA256 != hex.EncodeToString(sum[:]) || f.Filename != "notes.txt" || f.Scan != "off" {
			t.Fatalf("%d bytes: %+v", size, f)
		}
		got := d.content(customer, f).Want(200)
		if !bytes.Equal(got.Body, content) || got.Header.Get("Content-Length") != fmt.Sprint(size) {
			t.Fatalf("%d bytes: got %d", size, len(got.Body))
		}
	}
}

func TestTypeIsThatOfTheBytesAndOnlyImagesAndTextAreShown(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	for _, c := range []struct{ name, content, mediaType, served, disposition string }{
		{"a.html", string(png("")), "image/png", "image/png", `inline; filename="a.html"`},
		{"a.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", "image/jpeg", `inline; filename="a.jpg"`},
		{"a.gif", "GIF89a", "image/gif", "image/gif", `inline; filename="a.gif"`},
		{"a.png", "Just words", "text/plain", "text/plain; charset=utf-8", `inline; filename="a.png"`},
		{"a.txt", "<!DOCTYPE html><script>alert(1)</script>", "text/html", "application/octet-stream", `attachment; filename="a.txt"`},
		{"a.png", `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "image/svg+xml", "application/octet-stream", `attachment; filename="a.png"`},
		{"a.png", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "image/svg+xml", "application/octet-stream", `attachment; filename="a.png"`},
		{"a.png", `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script/></html>`, "", "application/octet-stream", `attachment; filename="a.png"`},
		{"a.png", "%PDF-1.7\n", "application/pdf", "application/pdf", `attachment; filename="a.png"`},
		{"zdjęcie 100%.zip", "PK\x03\x04", "application/zip", "application/zip", `attachment; filename="zdj_cie 100_.zip"; filename*=UTF-8''zdj%C4%99cie%20100%25.zip`},
	} {
		f := d.upload(customer, c.name, []byte(c.content))
		if c.mediaType != "" && f.MediaType != c.mediaType {
			t.Errorf("%.30q is %s, want %s", c.content, f.MediaType, c.mediaType)
		}
		got := d.content(customer, f).Want(200)
		for name, want := range map[string]string{
			"Content-Type": c.served, "Content-Disposition": c.disposition, "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
			"Cache-Control":           "private, no-cache", "Cross-Origin-Resource-Policy": "same-origin", "Etag": `"` + f.SHA256 + `"`,
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%.30q: %s is %q, want %q", c.content, name, got.Header.Get(name), want)
			}
		}
		if _, params, err := mime.ParseMediaType(got.Header.Get("Content-Disposition")); err != nil || params["filename"] != f.Filename {
			t.Errorf("%q is read as %q, %v", got.Header.Get("Content-Disposition"), params["filename"], err)
		}
	}
}

func TestRangesAndConditionsOfADownload(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	content := bytes.Repeat([]byte("0123456789"), 60_000)
	f := d.upload(customer, "digits.txt", content)
	tag := `"` + f.SHA256 + `"`
	for _, c := range []struct {
		status  int
		want    string
		headers []string
	}{
		{206, "23456", []string{"Range", "bytes=262142-262146"}},
		{206, "789", []string{"Range", "bytes=-3"}},
		{206, string(content[599_990:]), []string{"Range", "bytes=599990-"}},
		{206, "0123", []string{"Range", "bytes=0-3", "If-Range", tag}},
		{200, string(content), []string{"Range", "bytes=0-3", "If-Range", `"other"`}},
		{304, "", []string{"If-None-Match", tag}},
		{200, string(content), []string{"If-None-Match", `"other"`}},
		{200, string(content), []string{"Accept", "image/png"}},
		{200, string(content), []string{"Range", "lines=0-3"}},
	} {
		got := d.content(customer, f, c.headers...).Want(c.status)
		if string(got.Body) != c.want || c.status == 304 && got.Header.Get("Etag") != tag {
			t.Errorf("%v: got %d bytes, want %d", c.headers, len(got.Body), len(c.want))
		}
	}
	for _, unsatisfiable := range []string{"bytes=600000-", "bytes=2-1", "bytes=a-b"} {
		refused := d.content(customer, f, "Range", unsatisfiable)
		refused.Refused(416, "range_not_satisfiable")
		if refused.Header.Get("Content-Range") != "bytes */600000" || refused.Header.Get("Content-Disposition") != "" || refused.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", unsatisfiable, refused.Header)
		}
	}
	parts := d.content(customer, f, "Range", "bytes=0-1,10-11").Want(206)
	_, params, _ := mime.ParseMediaType(parts.Header.Get("Content-Type"))
	first, err := multipart.NewReader(bytes.NewReader(parts.Body), params["boundary"]).NextPart()
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(first); string(text) != "01" {
		t.Errorf("the first part is %q", text)
	}
	head := d.send(customer, http.MethodHead, "/v1/attachments/"+f.ID.String()+"/content", "", nil).Want(200)
	if len(head.Body) != 0 || head.Header.Get("Content-Length") != "600000" {
		t.Errorf("HEAD has %d bytes, length %q", len(head.Body), head.Header.Get("Content-Length"))
	}
}

func TestBodyThatIsNoFormWithOneFileIsRefused(t *testing.T) {
	d := newTestEnv(t, func(c *attachment.Config) { c.Max = 1000 })
	customer := d.User("customer")
	const boundary = "multipart/form-data; boundary=b"
	part := func(name, content string) string {
		return "--b\r\nContent-Disposition: form-data; name=" + name + "; filename=a.txt\r\n\r\n" + content + "\r\n"
	}
	whole := part("file", "text") + "--b--\r\n"
	d.send(customer, "POST", "/v1/attachments", boundary, strings.NewReader(whole)).Want(201) // the control
	d.send(customer, "POST", "/v1/attachments", boundary, strings.NewReader(part("file", strings.Repeat("x", 1000))+"--b--")).Want(201)
	for _, c := range []struct {
		contentType, body string
		status            int
		code              string
	}{
		{"application/json", `{"file":"x"}`, 415, "unsupported_media_type"},
		{"multipart/form-data", whole, 415, "unsupported_media_type"},
		{"multipart/mixed; boundary=b", whole, 415, "unsupported_media_type"},
		{"", whole, 415, "unsupported_media_type"},
		{boundary, "", 400, "malformed_request"},
		{boundary, "--b--\r\n", 422, "validation_failed"},
		{boundary, part("other", "x") + "--b--\r\n", 422, "validation_failed"},
		{boundary, part("file", "x") + part("file", "y") + "--b--\r\n", 422, "validation_failed"},
		{boundary, part("file", "x") + part("more", "y") + "--b--\r\n", 422, "validation_failed"},
		{boundary, part("file", "x"), 400, "malformed_request"},
		{boundary, "--b\r\nContent-Disposition: form-data; name=file", 422, "validation_failed"},
		{boundary, "--b\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", 400, "malformed_request"},
		{boundary, strings.Repeat("preamble\r\n", 10_000) + whole, 400, "malformed_request"},
		{boundary, whole + strings.Repeat("epilogue\r\n", 10_000), 400, "malformed_request"},
		{boundary, part("file", strings.Repeat("x", 1001)) + "--b--\r\n", 413, "body_too_large"},
		{boundary, part("file", strings.Repeat("x", 100_000)) + "--b--\r\n", 413, "body_too_large"},
	} {
		got := d.send(customer, "POST", "/v1/attachments", c.contentType, io.MultiReader(strings.NewReader(c.body))) // of unknown length
		if got.Code != c.status || crmtest.Parse[crmtest.Problem](got).Code != c.code {
			t.Errorf("%s %.60q: %d %s, want %d %s", c.contentType, c.body, got.Code, got.Body, c.status, c.code)
		}
	}
	d.send(customer, "POST", "/v1/attachments", boundary, strings.NewReader(strings.Repeat("x", 100_000))).Refused(413, "body_too_large")
	d.purge()
	if n := crmtest.Get[int](d.Env, `select count(*) from attachments`); n != 2 {
		t.Errorf("%d files are stored, want 2", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`) + crmtest.Get[int](d.Env, `select count(*) from attachment_removals`); n != 2 {
		t.Errorf("%d chunks and removals are left, want 2", n)
	}
}

func TestFilesAreAttachedOnceByTheirUploader(t *testing.T) {
	d := newTestEnv(t)
	customer, other, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	one, two, three := d.upload(customer, "1.png", png("one")), d.upload(customer, "2.txt", []byte("two")), d.upload(engineer, "3.txt", []byte("three"))
	foreign := d.upload(other, "4.txt", []byte("four"))
	refuse := func(who crmtest.User, what string, list ...any) {
		t.Helper()
		p := d.Call(who, "POST", "/v1/tickets", crmtest.Object{"title": "T", "description": "D", "attachment_ids": list}).Refused(422, "validation_failed")
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, "body") {
			t.Errorf("%s: %+v", what, p)
		}
	}
	refuse(customer, "a foreign file", one.ID, foreign.ID)
	refuse(customer, "a file that is not there", "01890000-0000-7000-8000-000000000000")
	refuse(customer, "a file twice", one.ID, one.ID)
	refuse(customer, "no id", "x")
	refuse(customer, "more than ten", one.ID, two.ID, one.ID, two.ID, one.ID, two.ID, one.ID, two.ID, one.ID, two.ID, one.ID)
	raised := crmtest.Parse[conversation](d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "T", "description": "D", "attachment_ids": ids(two, one)}).Want(201))
	ticket := crmtest.Ticket{ID: raised.ID}
	refuse(customer, "a file that is attached", one.ID)
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "B", "attachment_ids": ids(foreign)}).Refused(422, "validation_failed")
	comment := d.comment(engineer, ticket, false, three)
	for _, who := range []crmtest.User{customer, engineer} {
		got := crmtest.Parse[conversation](d.Call(who, "GET", ticket.Path(""), nil).Want(200))
		if fmt.Sprint(got.Attachments) != fmt.Sprint(raised.Attachments) || len(got.Attachments) != 2 || got.Attachments[0] != two || got.Attachments[1] != one {
			t.Errorf("the ticket has %+v", got.Attachments)
		}
		list := crmtest.Parse[crmtest.Page[conversation]](d.Call(who, "GET", ticket.Path("/comments"), nil).Want(200))
		if len(list.Items) != 1 || fmt.Sprint(list.Items[0]) != fmt.Sprint(comment) || list.Items[0].Attachments[0] != three {
			t.Errorf("the comments are %+v", list.Items)
		}
	}
	d.Advance(25 * time.Hour)
	d.purge()
	d.content(customer, one).Want(200)
	d.read(other, foreign).Want(404)
}

func TestRepeatedRequestWithFilesIsAnsweredAsTheFirst(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	body := crmtest.Object{"title": "T", "description": "D", "attachment_ids": ids(d.upload(customer, "1.png", png("one")))}
	first := d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201)
	again := d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201)
	if !bytes.Equal(first.Body, again.Body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s\n%s", first.Body, again.Body)
	}
	d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "other").Refused(422, "validation_failed")
	ticket := crmtest.Parse[crmtest.Ticket](first)
	remark := crmtest.Object{"body": "B", "attachment_ids": ids(d.upload(customer, "2.png", png("two")))}
	first = d.Call(customer, "POST", ticket.Path("/comments"), remark, "Idempotency-Key", "c").Want(201)
	again = d.Call(customer, "POST", ticket.Path("/comments"), remark, "Idempotency-Key", "c").Want(201)
	if !bytes.Equal(first.Body, again.Body) || !strings.Contains(string(first.Body), "2.png") {
		t.Errorf("%s\n%s", first.Body, again.Body)
	}
	remark["attachment_ids"] = []string{}
	d.Call(customer, "POST", ticket.Path("/comments"), remark, "Idempotency-Key", "c").Refused(422, "idempotency_mismatch")
}

func TestFilesFollowThePermissionsOfTicketAndComment(t *testing.T) {
	d := newTestEnv(t)
	reporter, stranger, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	ofTicket, ofComment, ofInternal := d.upload(reporter, "t.png", png("t")), d.upload(reporter, "c.png", png("c")), d.upload(engineer, "i.png", png("i"))
	loose := d.upload(reporter, "l.png", png("l"))
	ticket := d.raise(reporter, ofTicket)
	public := d.comment(reporter, ticket, false, ofComment)
	internal := d.comment(engineer, ticket, true, ofInternal)
	missing := d.send(stranger, "GET", "/v1/attachments/01890000-0000-7000-8000-000000000000", "", nil, "X-Request-ID", "r").Want(404)
	check := func(who crmtest.User, name string, f file, may bool) {
		t.Helper()
		for _, path := range []string{"/v1/attachments/" + f.ID.String(), "/v1/attachments/" + f.ID.String() + "/content"} {
			got := d.send(who, "GET", path, "", nil, "X-Request-ID", "r")
			if may != (got.Code == 200) || !may && !bytes.Equal(got.Body, missing.Body) {
				t.Errorf("%s of %s by %s: %d %s", path, name, who.Name, got.Code, got.Body)
			}
		}
	}
	for _, who := range []crmtest.User{reporter, stranger, engineer, admin} {
		staff := who.Role != "customer"
		check(who, "the ticket", ofTicket, who == reporter || staff)
		check(who, "the comment", ofComment, who == reporter || staff)
		check(who, "the internal comment", ofInternal, staff)
		check(who, "nothing", loose, who == reporter)
	}
	for _, c := range []conversation{public, internal} {
		d.Call(admin, "DELETE", ticket.Path("/comments/"+c.ID.String()), nil).Want(204)
	}
	for _, who := range []crmtest.User{reporter, engineer, admin} {
		check(who, "the ticket", ofTicket, true)
		check(who, "the removed comment", ofComment, false)
		check(who, "the removed internal comment", ofInternal, false)
	}
	d.purge()
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`); n != 2 {
		t.Errorf("%d contents are left, want those of the ticket and of nothing", n)
	}
}

func TestSignedURLActsForTheCallerForFiveMinutes(t *testing.T) {
	d := newTestEnv(t)
	reporter, stranger, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	f, other := d.upload(engineer, "i.png", png("secret")), d.upload(engineer, "j.png", png("other"))
	ticket := d.raise(reporter)
	d.comment(engineer, ticket, true, f, other)
	link := crmtest.Parse[file](d.read(engineer, f).Want(200)).DownloadURL
	nobody := crmtest.User{}
	if got := d.send(nobody, "GET", link, "", nil).Want(200); !bytes.Equal(got.Body, png("secret")) {
		t.Errorf("%q", got.Body)
	}
	_, signature, _ := strings.Cut(link, "?")
	d.send(nobody, "GET", "/v1/attachments/"+other.ID.String()+"/content?"+signature, "", nil).Refused(401, "invalid_token")
	d.send(nobody, "GET", "/v1/attachments/"+f.ID.String()+"?"+signature, "", nil).Refused(401, "invalid_token")
	d.send(nobody, "GET", link+"x", "", nil).Refused(401, "invalid_token")
	d.send(nobody, "GET", link+"&"+signature, "", nil).Refused(401, "invalid_token")
	d.send(nobody, "GET", "/v1/attachments/"+f.ID.String()+"/content?signature=", "", nil).Refused(401, "invalid_token")
	d.send(nobody, "GET", "/v1/attachments/"+f.ID.String()+"/content", "", nil).Refused(401, "invalid_token")
	d.send(stranger, "GET", link, "", nil).Refused(404, "not_found") // a token counts for more
	d.Advance(6 * time.Minute)
	d.send(nobody, "GET", link, "", nil).Refused(401, "invalid_token")
	link = crmtest.Parse[file](d.read(engineer, f).Want(200)).DownloadURL
	d.Exec(`update users set status = 'suspended' where id = $1`, engineer.ID)
	d.send(nobody, "GET", link, "", nil).Refused(401, "invalid_token")
	d.Exec(`update users set status = 'approved' where id = $1`, engineer.ID)
	d.send(nobody, "GET", link, "", nil).Want(200) // the control
}

func TestUnattachedFileIsGoneAfterADay(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	f := d.upload(customer, "a.png", png("a"))
	d.Advance(23 * time.Hour)
	d.purge()
	d.content(customer, f).Want(200) // the control
	d.Advance(2 * time.Hour)
	d.purge()
	d.content(customer, f).Refused(404, "not_found")
	d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "T", "description": "D", "attachment_ids": ids(f)}).Refused(422, "validation_failed")
	for _, table := range []string{"attachments", "attachment_contents", "attachment_chunks", "attachment_removals"} {
		if n := crmtest.Get[int](d.Env, `select count(*) from `+table); n != 0 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
}

func TestQuotaOfADayIsPerPerson(t *testing.T) {
	d := newTestEnv(t, func(c *attachment.Config) { c.Quota = 1000 })
	customer, other := d.User("customer"), d.User("customer")
	d.upload(customer, "a.txt", bytes.Repeat([]byte("a"), 600))
	refused := d.tryUpload(customer, "b.txt", bytes.Repeat([]byte("b"), 401))
	if p := refused.Refused(429, "rate_limited"); !strings.Contains(p.Detail, "1000 bytes in 24 hours") || refused.Header.Get("Retry-After") == "" {
		t.Errorf("%+v %v", p, refused.Header)
	}
	d.upload(customer, "b.txt", bytes.Repeat([]byte("b"), 400))
	d.tryUpload(customer, "c.txt", []byte("c")).Refused(429, "rate_limited")
	d.upload(other, "c.txt", bytes.Repeat([]byte("c"), 1000))
	d.Advance(25 * time.Hour)
	d.upload(customer, "c.txt", bytes.Repeat([]byte("d"), 1000))
}
