package app_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
)

func TestEveryRecipientGetsTheFilesThatAreStoredOnce(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	database := newDatabase(t)
	s := start(t, i, testConfig(database, i.url, smtp.Addr()))
	large := bytes.Repeat([]byte{0, 1, 2, 3, 0xff}, notifyapi.MaxAttachmentBytes/5-100)
	html := "<p>Hello</p>"
	r := newMail("a@example.org", "b@example.org", "c@example.org")
	r.HTML = &html
	r.Attachments = []notifyapi.Attachment{
		{Filename: " Störung.png ", MediaType: "Image/PNG", Content: large}, {Filename: "log.txt", MediaType: "text/plain", Content: []byte("it burns\n")},
	}
	n, err := s.Create(t.Context(), "k", r)
	if err != nil {
		t.Fatal(err)
	}
	want := []notifyapi.AttachmentInfo{{Filename: "Störung.png", MediaType: "image/png", Size: len(large)}, {Filename: "log.txt", MediaType: "text/plain", Size: 9}}
	if len(n.Attachments) != 2 || n.Attachments[0] != want[0] || n.Attachments[1] != want[1] {
		t.Errorf("%+v", n.Attachments)
	}
	again, err := s.Create(t.Context(), "k", r)
	if err != nil || again.ID != n.ID || len(again.Attachments) != 2 {
		t.Errorf("the repeat: %+v, %v", again, err)
	}
	other := r
	other.Attachments = r.Attachments[1:]
	var answer *notifyapi.Error
	if _, err := s.Create(t.Context(), "k", other); !errors.As(err, &answer) || answer.Code != "idempotency_mismatch" {
		t.Errorf("other files with the same key: %v", err)
	}
	n = s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	if len(n.Attachments) != 2 {
		t.Errorf("%+v", n.Attachments)
	}
	for _, m := range smtp.Messages() {
		if files := filesOf(t, m.Data); len(files) != 2 || !bytes.Equal(files["Störung.png"], large) || string(files["log.txt"]) != "it burns\n" {
			t.Errorf("the mail to %s has %d files", m.To, len(files))
		}
	}
	if got := countFiles(t, database); got != 2 {
		t.Errorf("%d files are stored", got)
	}
}

func filesOf(t *testing.T, data string) map[string][]byte {
	t.Helper()
	read, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, params, _ := mime.ParseMediaType(read.Header.Get("Content-Type"))
	files := map[string][]byte{}
	for parts := multipart.NewReader(read.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := part.FileName(); name != "" {
			if files[name], err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, part)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func countFiles(t *testing.T, database string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if err := conn.QueryRow(t.Context(), "select count(*) from notification_files").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFilesOfASensitiveNotificationAreErasedWithItsText(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t)
	s := start(t, i, testConfig(database, i.url, startSMTP(t, nil).Addr()))
	for key, sensitive := range map[string]bool{"sensitive": true, "other": false} {
		r := newMail("a@example.org")
		r.Sensitive = sensitive
		r.Attachments = []notifyapi.Attachment{{Filename: "key.txt", MediaType: "text/plain", Content: []byte("secret")}}
		n, err := s.Create(t.Context(), key, r)
		if err != nil || (n.Attachments == nil) != sensitive {
			t.Fatalf("%+v, %v", n.Attachments, err)
		}
		s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	}
	eventually(t, "the secret file is erased and the other stays", func() bool { return countFiles(t, database) == 1 })
}

func TestAttachmentsBeyondTheLimitsAreRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, startSMTP(t, nil).Addr()))
	file := func(name, media string, size int) notifyapi.Attachment {
		return notifyapi.Attachment{Filename: name, MediaType: media, Content: make([]byte, size)}
	}
	half := notifyapi.MaxAttachmentBytes / 2
	var eleven []notifyapi.Attachment
	for range 11 {
		eleven = append(eleven, file("a.txt", "text/plain", 1))
	}
	for name, c := range map[string]struct {
		files  []notifyapi.Attachment
		status int
	}{
		"two halves":        {[]notifyapi.Attachment{file("a.bin", "application/octet-stream", half), file("b.bin", "application/octet-stream", half)}, http.StatusAccepted},
		"one byte more":     {[]notifyapi.Attachment{file("a.bin", "application/octet-stream", half), file("b.bin", "application/octet-stream", half+1)}, http.StatusUnprocessableEntity},
		"too large a body":  {[]notifyapi.Attachment{file("a.bin", "application/octet-stream", 2*notifyapi.MaxAttachmentBytes)}, http.StatusRequestEntityTooLarge},
		"eleven":            {eleven, http.StatusUnprocessableEntity},
		"a path":            {[]notifyapi.Attachment{file("../a.txt", "text/plain", 1)}, http.StatusUnprocessableEntity},
		"a line break":      {[]notifyapi.Attachment{file("a\r\nBcc: b@example.org", "text/plain", 1)}, http.StatusUnprocessableEntity},
		"another direction": {[]notifyapi.Attachment{file("a\u202egpj.exe", "text/plain", 1)}, http.StatusUnprocessableEntity},
		"a blank name":      {[]notifyapi.Attachment{file(" ", "text/plain", 1)}, http.StatusUnprocessableEntity},
		"no media type":     {[]notifyapi.Attachment{file("a.txt", "text", 1)}, http.StatusUnprocessableEntity},
		"a parameter":       {[]notifyapi.Attachment{file("a.txt", "text/plain; x=y", 1)}, http.StatusUnprocessableEntity},
		"a header":          {[]notifyapi.Attachment{file("a.txt", "text/plain\r\nX: y", 1)}, http.StatusUnprocessableEntity},
	} {
		r := newMail("a@example.org")
		r.Attachments = c.files
		status := http.StatusAccepted
		var answer *notifyapi.Error
		if _, err := s.Create(t.Context(), strings.ReplaceAll(name, " ", "-"), r); errors.As(err, &answer) {
			status = answer.Status
		} else if err != nil {
			t.Fatal(err)
		}
		if status != c.status {
			t.Errorf("%s: %d, want %d: %v", name, status, c.status, answer)
		}
	}
	r := newMail("a@example.org")
	r.Text = strings.Repeat("x", 2<<20)
	var answer *notifyapi.Error
	if _, err := s.Create(t.Context(), "text", r); !errors.As(err, &answer) || answer.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB without attachments: %v", err)
	}
}
