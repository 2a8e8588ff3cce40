package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"fixdesk/deploy/client/go/crm"
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
func (a *firstAdmin) verify(ctx context.Context, s *settings, crmURL string) error {
	for _, password := range a.candidates {
		role, err := signIn(ctx, crmURL, admin{a.email, password})
		if refusal, ok := errors.AsType[*crm.Error](err); ok && refusal.Status == http.StatusUnauthorized {
			continue
		} else if ok {
			a.refusal = refusal.Detail
			return nil
		}
		if err != nil {
			return fmt.Errorf("sign in as the first admin: %w", err)
		}
		if role != "admin" {
			a.refusal = "The account is that of a " + role + "."
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

// signIn opens a session, ends it, and returns the account's role. A refusal is a
// *crm.Error.
func signIn(ctx context.Context, url string, a admin) (role string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var token string
	client, err := crm.New(url, crm.Config{Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		return "", err
	}
	defer http.DefaultClient.CloseIdleConnections()
	session, err := client.LoginWithResponse(ctx, crm.LoginJSONRequestBody{Email: a.email, Password: a.password})
	if err != nil {
		return "", err
	}
	token = session.JSON200.AccessToken
	if _, err := client.LogoutWithResponse(ctx); err != nil {
		return "", err
	}
	return string(session.JSON200.User.Role), nil
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
