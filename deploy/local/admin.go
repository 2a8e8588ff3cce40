package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Files of the state folder with the first admin's address and password, as
// lines that a shell can read. Only their owner may read them.
const (
	adminFile    = "admin.env"         // signed in at the last start that checked it
	newAdminFile = "admin.env.pending" // generated and not yet checked
)

// admin is an account's address and password.
type admin struct{ email, password string }

// firstAdmin is the admin of this start: the address and password with which the
// CRM makes the account, and the passwords that an existing account may have.
type firstAdmin struct {
	admin
	given      bool // the password is CRM_ADMIN_PASSWORD
	candidates []string

	verified bool   // password signs in
	refusal  string // the CRM's reason for refusing, other than the password
}

// chooseAdmin takes the address and the password from the environment, else from the
// file of an earlier start, else generates them. A generated password is written to
// newAdminFile first, so that an interrupted start does not lose it.
func chooseAdmin(s *settings) (*firstAdmin, error) {
	kept, err := readAdmin(s.path(adminFile))
	if err != nil {
		return nil, err
	}
	pending, err := readAdmin(s.path(newAdminFile))
	if err != nil {
		return nil, err
	}
	a := &firstAdmin{given: s.AdminPassword.IsSet()}
	for _, email := range []string{s.AdminEmail, kept.email, pending.email, "admin@fixdesk.example"} {
		if a.email == "" {
			a.email = email
		}
	}
	if a.given {
		a.candidates = append(a.candidates, s.AdminPassword.Reveal())
	}
	for _, earlier := range []admin{kept, pending} {
		if earlier.email == a.email && !slices.Contains(a.candidates, earlier.password) {
			a.candidates = append(a.candidates, earlier.password)
		}
	}
	if len(a.candidates) == 0 {
		a.candidates = []string{rand.Text()}
		if err := writeAdmin(s.path(newAdminFile), admin{a.email, a.candidates[0]}); err != nil {
			return nil, err
		}
	}
	a.password = a.candidates[0]
	return a, nil
}

// verify signs in at the CRM to find the account's password, and writes it to
// adminFile. An existing account keeps its password whatever CRM_ADMIN_PASSWORD is,
// so only a sign-in shows which one is right.
func (a *firstAdmin) verify(ctx context.Context, s *settings, crm string) error {
	for _, password := range a.candidates {
		status, answer, err := signIn(ctx, crm, admin{a.email, password})
		if err != nil {
			return fmt.Errorf("sign in as the first admin: %w", err)
		}
		switch {
		case status == http.StatusUnauthorized:
			continue
		case status != http.StatusOK:
			a.refusal = answer.Detail
			return nil
		case answer.User.Role != "admin":
			a.refusal = "The account is that of a " + answer.User.Role + "."
			return nil
		}
		a.password, a.verified = password, true
		if err := writeAdmin(s.path(adminFile), a.admin); err != nil {
			return err
		}
		break
	}
	if err := os.Remove(s.path(newAdminFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// explain returns one sentence about the account's password.
func (a *firstAdmin) explain(s *settings) string {
	switch {
	case a.refusal != "":
		return "the account exists and can't sign in as admin: " + a.refusal
	case a.verified && a.given && a.password != a.candidates[0]:
		return "the account exists and its password is unchanged: not the one in CRM_ADMIN_PASSWORD, but the one in " + s.path(adminFile)
	case a.verified && a.given:
		return "the one in CRM_ADMIN_PASSWORD"
	case a.verified:
		return a.password
	case a.given:
		return "the account exists and its password is unchanged: not the one in CRM_ADMIN_PASSWORD"
	}
	return "the account exists and its password is unchanged; it is not known here"
}

// signInAnswer has the fields of a session and of a problem that are used here.
type signInAnswer struct {
	AccessToken string `json:"access_token"`
	User        struct{ Role string }
	Detail      string
}

// signIn opens a session and ends it.
func signIn(ctx context.Context, crm string, a admin) (status int, answer signInAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	post := func(path, token string, body any, into any) (int, error) {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, crm+path, bytes.NewReader(text))
		if err != nil {
			return 0, err
		}
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		} else {
			request.Body = http.NoBody
			request.ContentLength = 0
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		if into == nil {
			return response.StatusCode, nil
		}
		return response.StatusCode, json.NewDecoder(response.Body).Decode(into)
	}
	status, err = post("/v1/auth/login", "", map[string]string{"email": a.email, "password": a.password}, &answer)
	if err == nil && status == http.StatusOK {
		_, err = post("/v1/auth/logout", answer.AccessToken, nil, nil)
	}
	return status, answer, err
}

func readAdmin(path string) (admin, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return admin{}, fmt.Errorf("read the first admin: %w", err)
	}
	var a admin
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "CRM_ADMIN_EMAIL":
			a.email = unshellWord(value)
		case "CRM_ADMIN_PASSWORD":
			a.password = unshellWord(value)
		}
	}
	return a, nil
}

// writeAdmin replaces the file atomically.
func writeAdmin(path string, a admin) error {
	text := "CRM_ADMIN_EMAIL=" + shellWord(a.email) + "\nCRM_ADMIN_PASSWORD=" + shellWord(a.password) + "\n"
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		return fmt.Errorf("keep the first admin: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("keep the first admin: %w", err)
	}
	return nil
}

// shellWord quotes text so that a POSIX shell reads it as one word.
func shellWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// unshellWord undoes shellWord.
func unshellWord(word string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(word, "'"), "'"), `'\''`, "'")
}
