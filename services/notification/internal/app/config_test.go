package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fixdesk/services/notification/internal/app"
)

func TestDefaultsWorkLocally(t *testing.T) {
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != ":8081" || c.SMTPConnections != 10 || c.Lease.String() != "1m0s" || c.GiveUpAfter.Hours() != 48 || c.Issuer != "fixdesk" {
		t.Errorf("%+v", c)
	}
}

func TestInvalidSettingIsRefusedByNameWithoutItsValue(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{
		"NOTIFICATION_ENV=canary", "NOTIFICATION_ADDR=8081", "NOTIFICATION_DATABASE_URL=postgres://joe:canary@host:port/x", "NOTIFICATION_MIGRATE_DATABASE_URL=canary", "NOTIFICATION_SMTP_URL=http://joe:canary@host", "NOTIFICATION_SMTP_URL=smtp://a,smtp://joe:canary@host?x=1",
		"NOTIFICATION_SMTP_URL=", "NOTIFICATION_SMTP_CONNECTIONS=0", "NOTIFICATION_SMTP_CONNECTIONS=1000", "NOTIFICATION_SMTP_TIMEOUT_DOT=0s",
		"NOTIFICATION_SMTP_TIMEOUT_MAIL=canary", "NOTIFICATION_SMTP_MAX_MESSAGES=0", "NOTIFICATION_SMTP_IDLE_TIME=-1s", "NOTIFICATION_LEASE=999ms",
		"NOTIFICATION_RETRY_BASE=0s", "NOTIFICATION_RETRY_CAP=1s", "NOTIFICATION_GIVE_UP_AFTER=0s", "NOTIFICATION_POLL_INTERVAL=0s",
		"NOTIFICATION_INBOUND_ADDR=canary", "NOTIFICATION_INBOUND_ADDR=127.0.0.1:1026", "NOTIFICATION_INBOUND_PROTOCOL=canary",
		"NOTIFICATION_INBOUND_MAX_SIZE=1", "NOTIFICATION_INBOUND_RETENTION=-1h",
		"NOTIFICATION_IMAP_URL=https://joe:canary@host", "NOTIFICATION_IMAP_URL=imaps://canary", "NOTIFICATION_IMAP_URL=imap://joe:canary@host?x=1",
		"NOTIFICATION_RETENTION=-1h", "NOTIFICATION_MAIL_FROM=canary", "NOTIFICATION_MAIL_FROM=a@[127.0.0.1]", "NOTIFICATION_DATABASE_POOL_SIZE=1",
		"NOTIFICATION_JWKS_URL=canary", "NOTIFICATION_SMTP_CA_FILE=" + garbage, "NOTIFICATION_DKIM_KEY_FILE=" + garbage,
		"NOTIFICATION_DKIM_SELECTOR=s1", "NOTIFICATION_BOUNCE_DOMAIN=canary", "NOTIFICATION_BOUNCE_SECRET=canary", "NOTIFICATION_TRUSTED_PROXIES=canary", "NOTIFICATION_LOG_LEVEL=canary", "NOTIFICATION_SHUTDOWN_TIMEOUT=0s",
	} {
		t.Run(setting, func(t *testing.T) {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
			_, err := app.LoadConfig()
			if err == nil || !strings.Contains(err.Error(), "NOTIFICATION_") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAllInvalidSettingsAreReportedTogether(t *testing.T) {
	bad := map[string]string{"NOTIFICATION_RETRY_BASE": "canary", "NOTIFICATION_DATABASE_POOL_SIZE": "1", "NOTIFICATION_JWKS_URL": "canary"}
	for name, value := range bad {
		t.Setenv(name, value)
	}
	_, err := app.LoadConfig()
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Count(err.Error(), "\n") != len(bad)-1 {
		t.Fatalf("want %d lines: %v", len(bad), err)
	}
	for name := range bad {
		if !strings.Contains("\n"+err.Error(), "\n"+name+" ") {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func TestProductionRefusesSettingsThatAreSafeOnlyLocally(t *testing.T) {
	t.Setenv("NOTIFICATION_ENV", "production")
	t.Setenv("NOTIFICATION_MAIL_FROM", "desk@example.com")
	if _, err := app.LoadConfig(); err != nil {
		t.Fatalf("a sound configuration is refused: %v", err)
	}
	for _, setting := range []string{
		"NOTIFICATION_JWKS_URL=https://crm.example.com/.well-known/jwks.json", "NOTIFICATION_JWKS_URL=http://127.0.0.1:8080/.well-known/jwks.json",
		"NOTIFICATION_DATABASE_URL=postgres://n@db.example.com/n?sslmode=verify-full&sslrootcert=system",
	} {
		t.Run(setting, func(t *testing.T) {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
			if _, err := app.LoadConfig(); err != nil {
				t.Errorf("a sound configuration is refused: %v", err)
			}
		})
	}
	for _, setting := range []string{
		"NOTIFICATION_SMTP_URL=smtp://mail.example.com?tls=none",
		"NOTIFICATION_SMTP_URL=smtp://localhost,smtp://mail.example.com?tls=opportunistic",
		"NOTIFICATION_MAIL_FROM=Fixdesk <fixdesk@localhost.localdomain>",
		"NOTIFICATION_TRUSTED_PROXIES=0.0.0.0/0",
		"NOTIFICATION_JWKS_URL=http://crm.example.com/.well-known/jwks.json",
		"NOTIFICATION_DATABASE_URL=postgres://n@db.example.com/n", "NOTIFICATION_DATABASE_URL=postgres://n@db.example.com/n?sslmode=prefer",
	} {
		t.Run(setting, func(t *testing.T) {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
			if _, err := app.LoadConfig(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}
