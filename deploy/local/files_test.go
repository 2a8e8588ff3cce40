package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// upload uploads a file and returns its id.
func (r *running) upload(t *testing.T, token, name string, content []byte) string {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.crm+"/v1/attachments", &body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", w.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("%s, %v", response.Status, err)
	}
	return answer.ID
}

// mailWith waits for a mail to the address that has the text in it as it was sent.
func (r *running) mailWith(t *testing.T, email, text string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, item := range call(t, http.MethodGet, r.web+"/api/messages?to="+email, "", nil, http.StatusOK)["items"].([]any) {
			raw := get(t, r.web+"/api/messages/"+item.(map[string]any)["id"].(string)+"/raw", http.StatusOK)
			if strings.Contains(raw, text) {
				return raw
			}
		}
	}
	t.Fatalf("no such mail to %s\n%s", email, r.logs())
	return ""
}

// attachedTo returns the files of a mail by their names.
func attachedTo(t *testing.T, raw string) map[string][]byte {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		t.Fatalf("%s, %v", media, err)
	}
	files := map[string][]byte{}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if part.FileName() == "" {
			continue
		}
		if files[part.FileName()], err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, part)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMailOfACommentReachesTheCustomerWithItsFile(t *testing.T) {
	t.Parallel()
	r := commonStack(t)
	email := uuid.NewString() + "@ann.example"
	ann, a := r.customer(t, email), r.admin(t)
	admin := r.login(t, a.email, a.password)
	id := call(t, http.MethodPost, r.crm+"/v1/tickets", ann, object{"title": "Printer", "description": "It smokes."}, http.StatusCreated)["id"].(string)
	comment := func(body string, files ...string) {
		t.Helper()
		call(t, http.MethodPost, r.crm+"/v1/tickets/"+id+"/comments", admin, object{"body": body, "attachment_ids": files}, http.StatusCreated)
	}
	content := make([]byte, notifyapi.MaxAttachmentBytes) // as much as is attached
	_, _ = rand.Read(content)
	comment("canary-attached", r.upload(t, admin, "Störung.bin", content))
	raw := r.mailWith(t, email, "canary-attached")
	if files := attachedTo(t, raw); len(files) != 1 || !bytes.Equal(files["Störung.bin"], content) {
		t.Errorf("the mail has %d files, or other bytes", len(files))
	}
	if !strings.Contains(raw, "attached to this mail") {
		t.Error("the text doesn't say so")
	}
	comment("canary-linked", r.upload(t, admin, "Störung.bin", content), r.upload(t, admin, "one.txt", []byte("1")))
	raw = r.mailWith(t, email, "canary-linked")
	if files := attachedTo(t, raw); len(files) != 0 || !strings.Contains(raw, "Files, which are on the ticket's page:") {
		t.Errorf("the mail beyond the limit has %d files", len(files))
	}
}
