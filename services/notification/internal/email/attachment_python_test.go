//go:build python

package email

import (
	"bytes"
	"context"
	"encoding/json"
	"net/mail"
	"os/exec"
	"testing"
)

const filesByPython = `
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
print(json.dumps({
    "text": m.get_body(("plain",)).get_content(), "html": m.get_body(("html",)).get_content(),
    "files": [[a.get_filename(), a.get_content_type(), len(a.get_payload(decode=True))] for a in m.iter_attachments()],
    "defects": [str(d) for part in m.walk() for d in part.defects],
}))
`

func TestPythonReadsFilesWithTheirNames(t *testing.T) {
	m := goldenMail(func(m *Mail) { m.HTML, m.Attachments = "<p class=\"x\">it burns = now.</p>\n", attachedFiles })
	raw, err := (Sender{From: mail.Address{Address: "fixdesk@example.com"}}).render(m)
	if err != nil {
		t.Fatal(err)
	}
	python := exec.CommandContext(context.Background(), "python3", "-c", filesByPython)
	python.Stdin = bytes.NewReader(raw)
	out, err := python.Output()
	if err != nil {
		t.Fatalf("python3: %v", err)
	}
	var got struct {
		Text, HTML string
		Files      [][3]any
		Defects    []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Text != m.Text || got.HTML != m.HTML || len(got.Defects) > 0 || len(got.Files) != len(m.Attachments) {
		t.Fatalf("%+v", got)
	}
	for i, want := range m.Attachments {
		if f := got.Files[i]; f[0] != want.Filename || f[1] != partType(want.MediaType) || f[2] != float64(len(want.Content)) {
			t.Errorf("%v, want %s", f, want.Filename)
		}
	}
}
