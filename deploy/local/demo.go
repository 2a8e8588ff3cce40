package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"fixdesk/deploy/local/internal/demo"
)

const (
	// demoFile holds the password of everybody in the demonstration.
	demoFile    = "demo-password"
	demoTickets = 300
)

// fillDemo fills an empty Fixdesk, and prints how to sign in to what is there.
func (st *stack) fillDemo(ctx context.Context) error {
	if !st.admin.verified {
		return errors.New("the demonstration needs the first admin's password: set CRM_ADMIN_PASSWORD to it")
	}
	password := strings.ToLower(rand.Text()[:12])
	st.print(fmt.Sprintf("Filling the demonstration: 20 people, %d tickets …", demoTickets))
	err := demo.Fill(ctx, demo.Config{
		URL:         "http://" + dialable(st.CRMAddr, "127.0.0.1"),
		DatabaseURL: cmp.Or(os.Getenv(crmDatabase), databaseURL(st.serverURL, "crm")),
		AdminEmail:  st.admin.email, AdminPassword: st.admin.password, Password: password, Tickets: demoTickets,
	})
	kept, readErr := os.ReadFile(st.path(demoFile))
	switch {
	case errors.Is(err, demo.ErrNotEmpty) && readErr == nil:
		password = string(kept) // it was filled before
	case err != nil:
		return fmt.Errorf("fill the demonstration: %w", err)
	default:
		if err := os.WriteFile(st.path(demoFile), []byte(password), 0o600); err != nil {
			return fmt.Errorf("keep the demonstration's password: %w", err)
		}
	}
	st.print(fmt.Sprintf("\n  Engineer        %s\n  Customer        %s\n  Password        %s  (of everybody in the demonstration)", demo.Engineer, demo.Customer, password))
	return nil
}
