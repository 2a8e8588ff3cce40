package mailcatcher

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"testing"
)

const asked = `From: Fixdesk <fixdesk@fixdesk.example>
Reply-To: "Fixdesk" <support+42.abc@fixdesk.example>
To: ann@example.com
Subject: =?utf-8?q?[Fixdesk_#42]_Gr=C3=BC=C3=9Fe?=
Message-ID: <second@fixdesk.example>
References: <first@fixdesk.example>
Content-Type: text/plain; charset=utf-8

From which tray does it smoke?

Erik
`

// form makes the body of a reply.
func form(t *testing.T, fields map[string]string, fileName, content string) (string, io.Reader) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if fileName != "" {
		part, err := w.CreateFormFile("file", fileName)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), &b
}

func (c running) reply(t *testing.T, id string, fields map[string]string, fileName, content string) (int, string) {
	t.Helper()
	contentType, body := form(t, fields, fileName, content)
	response, err := http.Post(c.url+"/api/messages/"+id+"/reply", contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestReplyGoesToReplyToWithTheThreadAndTheOriginalQuoted(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, asked, "ann@example.com")
	original := c.list(t, "").Items[0].ID
	if status, body := c.reply(t, original, map[string]string{"text": "From the second one. Café!"}, "", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	came := c.list(t, "").Items[0]
	if came.From != "ann@example.com" || strings.Join(came.To, " ") != "support+42.abc@fixdesk.example" || came.Subject != "Re: [Fixdesk #42] Grüße" {
		t.Errorf("envelope %+v", came)
	}
	_, raw := c.get(t, "/api/messages/"+came.ID+"/raw")
	message, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From": "<ann@example.com>", "To": `"Fixdesk" <support+42.abc@fixdesk.example>`,
		"In-Reply-To": "<second@fixdesk.example>", "References": "<first@fixdesk.example> <second@fixdesk.example>",
	} {
		if got := message.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	text := parse([]byte(raw)).Text
	for _, want := range []string{"From the second one. Café!\n\nOn ", `Fixdesk <fixdesk@fixdesk.example> wrote:` + "\n> From which tray does it smoke?\n> \n> Erik\n"} {
		if !strings.Contains(strings.ReplaceAll(text, ">\n", "> \n"), want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	// A reply to the reply goes to its From and keeps one Re.
	if status, body := c.reply(t, came.ID, map[string]string{"text": "Thanks"}, "", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if back := c.list(t, "").Items[0]; back.Subject != came.Subject || back.To[0] != "ann@example.com" {
		t.Errorf("%+v", back)
	}
}

func TestReplyCarriesAFileAsItIs(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, asked, "ann@example.com")
	content := strings.Repeat("\x00\xff picture\r\n", 50)
	if status, body := c.reply(t, c.list(t, "").Items[0].ID, map[string]string{"text": "See."}, "übel \"1\".png", content); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	_, raw := c.get(t, "/api/messages/"+c.list(t, "").Items[0].ID+"/raw")
	message, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	if _, err := parts.NextPart(); err != nil {
		t.Fatal(err)
	}
	file, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(decodeTransfer(file.Header, file))
	if err != nil || string(data) != content || file.FileName() != "übel \"1\".png" {
		t.Errorf("%q %d bytes %v", file.FileName(), len(data), err)
	}
}

func TestReplyThatCanNotBeSentSaysWhy(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, asked, "ann@example.com")
	c.send(t, "Subject: nobody\n\nhello", "bob@example.com")
	items := c.list(t, "").Items
	for _, try := range []struct {
		id     string
		fields map[string]string
		status int
		words  string
	}{
		{items[1].ID, map[string]string{"text": " "}, 422, "no text"},
		{items[1].ID, map[string]string{"text": "x", "from": "eve@example.com"}, 422, "No recipient"},
		{"0198c0de-0000-7000-8000-000000000000", map[string]string{"text": "x"}, 404, "no such message"},
	} {
		if status, body := c.reply(t, try.id, try.fields, "", ""); status != try.status || !strings.Contains(body, try.words) {
			t.Errorf("%v: %d %s", try, status, body)
		}
	}
	if n := len(c.list(t, "").Items); n != 2 {
		t.Errorf("%d messages, so that a refused reply was sent", n)
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := closed.Addr().String()
	closed.Close()
	alone := catcherWith(t, t.TempDir(), away)
	alone.send(t, asked, "ann@example.com")
	if status, body := alone.reply(t, alone.list(t, "").Items[0].ID, map[string]string{"text": "x"}, "", ""); status != 502 || !strings.Contains(body, "NOTIFICATION_INBOUND_ADDR") {
		t.Errorf("without a listener: %d %s", status, body)
	}
}

func TestAnotherPageInTheBrowserSendsNoReply(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, asked, "ann@example.com")
	for site, want := range map[string]int{"cross-site": 403, "same-origin": 200} {
		contentType, body := form(t, map[string]string{"text": "Hello"}, "", "")
		request, err := http.NewRequest(http.MethodPost, c.url+"/api/messages/"+c.list(t, "?to=ann@example.com").Items[0].ID+"/reply", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Sec-Fetch-Site", site)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s", site, response.Status)
		}
	}
	var l listed
	_, body := c.get(t, "/api/messages")
	if err := json.Unmarshal([]byte(body), &l); err != nil || len(l.Items) != 2 {
		t.Errorf("%d messages", len(l.Items))
	}
}
