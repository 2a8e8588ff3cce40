package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/term"

	"fixdesk/pkg/command"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/app"
)

func subcommand(args []string, group, want string) ([]string, error) {
	if len(args) == 0 || args[0] != want {
		return nil, fmt.Errorf("%w: the command is crm %s %s", command.ErrUsage, group, want)
	}
	return args[1:], nil
}

// admin creates an approved admin. It reads the password from standard input, so
// that it is in no process list and no shell history.
func admin(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	args, err := subcommand(args, "admin", "create")
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("crm admin create", flag.ContinueOnError)
	email := flags.String("email", "", "the admin's address (required)")
	name := flags.String("name", "Admin", "the admin's name")
	if err := command.Parse(flags, adminUsage, args, errOut); err != nil {
		return err
	}
	if *email == "" {
		return fmt.Errorf("%w: --email is needed", command.ErrUsage)
	}
	password, err := readPassword(in, errOut)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	a, err := openDatabase(ctx, errOut)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.EnsureSchema(ctx); err != nil {
		return err
	}
	user, err := a.Users().CreateAdmin(ctx, *email, password, *name)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "admin %s has the id %s\n", user.Email, user.ID)
	return nil
}

// readPassword reads the first line of in. It asks for it at a terminal, which doesn't
// show what is typed.
func readPassword(in io.Reader, errOut io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(errOut, "Password: ")
		password, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(errOut)
		return string(password), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

const adminUsage = `Usage: crm admin create --email ADDRESS [--name NAME] [<password-file]
Makes an approved admin in the database of CRM_DATABASE_URL.
The password is the first line of standard input; a terminal asks for it.`

const keysUsage = `Usage: crm keys create --file PATH
       crm keys rotate --file PATH
create makes the signing keys unless the file exists. rotate makes them, or
replaces the current key by the next one. Running services follow within a
second. Wait 10 minutes, the life of an access token, before you rotate again.`

// keys creates the key file, or rotates it: the next key becomes the current
// one, and the current one stays in the JWKS as the previous one.
func keys(args []string, out, errOut io.Writer) error {
	if len(args) == 0 || args[0] != "create" && args[0] != "rotate" {
		return fmt.Errorf("%w: the commands are crm keys create and crm keys rotate", command.ErrUsage)
	}
	flags := flag.NewFlagSet("crm keys "+args[0], flag.ContinueOnError)
	path := flags.String("file", os.Getenv("CRM_KEYS_FILE"), "the key file")
	if err := command.Parse(flags, keysUsage, args[1:], errOut); err != nil {
		return err
	}
	if *path == "" {
		return fmt.Errorf("%w: --file is needed", command.ErrUsage)
	}
	set, err := jwtauth.LoadKeySet(*path)
	done := "rotated"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		set, err = jwtauth.NewKeySet()
		done = "made"
	case err == nil && args[0] == "create":
		_, _ = fmt.Fprintf(out, "signing keys exist: %s\n", *path)
		return nil
	case err == nil:
		set, err = set.Rotate()
	}
	if err != nil {
		return err
	}
	if err := set.Save(*path); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "signing keys %s: %s\n", done, *path)
	return nil
}

var tokenUsage = `Usage: crm token --scope SCOPES [--ttl 1h] [--subject NAME] [--file PATH]
Prints a service token for the notification API. Only rotating the keys twice
revokes it: keep it short-lived. Scopes, separated by spaces or commas:
` + strings.TrimSuffix(notifyapi.ScopesHelp, "\n")

// token prints a service token, signed with the key file's current key.
func token(args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("crm token", flag.ContinueOnError)
	scope := flags.String("scope", "", "scopes of the token (required)")
	ttl := flags.Duration("ttl", time.Hour, "how long the token is good, at most 8760h")
	subject := flags.String("subject", "ops", "who will use it, for the logs")
	path := flags.String("file", os.Getenv("CRM_KEYS_FILE"), "the key file")
	if err := command.Parse(flags, tokenUsage, args, errOut); err != nil {
		return err
	}
	scopes := strings.FieldsFunc(*scope, func(r rune) bool { return r == ' ' || r == ',' })
	if err := checkToken(scopes, *ttl, *subject, *path); err != nil {
		return err
	}
	c, err := app.LoadConfig()
	if err != nil {
		return err
	}
	set, err := jwtauth.LoadKeySet(*path)
	if err != nil {
		return err
	}
	now := app.Clock()
	signed, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return set }).Sign(jwtauth.Claims{
		Issuer: c.Issuer, Subject: *subject, Audience: notifyapi.Audience, ID: uuid.NewString(),
		Scope: scopes, IssuedAt: now, ExpiresAt: now.Add(*ttl),
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, signed)
	return nil
}

func checkToken(scopes []string, ttl time.Duration, subject, path string) error {
	switch {
	case len(scopes) == 0:
		return fmt.Errorf("%w: --scope is needed, for example --scope %q; the scopes are %s", command.ErrUsage, notifyapi.ScopeRead, strings.Join(notifyapi.Scopes, ", "))
	case path == "":
		return fmt.Errorf("%w: --file, or CRM_KEYS_FILE, must name the key file", command.ErrUsage)
	case ttl < time.Second || ttl > 365*24*time.Hour:
		return fmt.Errorf("%w: --ttl must be between 1s and 8760h", command.ErrUsage)
	case subject == "":
		return fmt.Errorf("%w: --subject must not be empty", command.ErrUsage)
	}
	for _, s := range scopes {
		if !slices.Contains(notifyapi.Scopes, s) {
			return fmt.Errorf("%w: there is no scope %q; the scopes are %s", command.ErrUsage, s, strings.Join(notifyapi.Scopes, ", "))
		}
	}
	return nil
}
