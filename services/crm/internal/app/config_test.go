package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fixdesk/pkg/jwtauth"
	"fixdesk/services/crm/internal/app"
)

func TestDefaultsWorkLocally(t *testing.T) {
	if _, err := app.LoadConfig(); err != nil {
		t.Error(err)
	}
}

func TestInvalidSettingIsRefusedByNameWithoutItsValue(t *testing.T) {
	for variable, value := range map[string]string{
		"CRM_ENV":                "staging-canary",
		"CRM_ADDR":               "canary",
		"CRM_DATABASE_URL":       "mysql://canary",
		"CRM_CLAMD_ADDR":         "canary:",
		"CRM_RATE_LIMIT":         "canary",
		"CRM_RELAY_INTERVAL":     "canary",
		"CRM_SHUTDOWN_TIMEOUT":   "0s",
		"CRM_DRAIN_DELAY":        "-1s",
		"CRM_MIGRATE":            "canary",
		"CRM_DATABASE_URL_FILE":  "/canary",
		"CRM_DATABASE_POOL_SIZE": "1",
		"CRM_NOTIFICATION_URL":   "canary",
		"CRM_PUBLIC_URL":         "ftp://canary",
		"CRM_TRUSTED_PROXIES":    "canary",
		"CRM_CORS_ORIGINS":       "canary", // not an origin
		"CRM_REQUEST_TIMEOUT":    "0s",
		"CRM_MAX_REQUESTS":       "0",
		"CRM_LOG_LEVEL":          "canary",
		"CRM_ADMIN_EMAIL":        "canary@example.com", // without its password
		"CRM_SUPPORT_ADDRESS":    "canary",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			_, err := app.LoadConfig()
			if err == nil || !strings.Contains(err.Error(), variable) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s is answered: %v", variable, err)
			}
		})
	}
}

func TestAllInvalidSettingsAreReportedTogether(t *testing.T) {
	bad := map[string]string{"CRM_RELAY_INTERVAL": "canary", "CRM_DATABASE_POOL_SIZE": "1", "CRM_PUBLIC_URL": "canary"}
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
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := keys.Save(file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CRM_ENV", "production")
	refused := func(variable string) {
		t.Helper()
		if _, err := app.LoadConfig(); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s is answered: %v", variable, err)
		}
	}
	refused("CRM_KEYS_FILE")
	t.Setenv("CRM_KEYS_FILE", file)
	if _, err := app.LoadConfig(); err != nil {
		t.Fatalf("a sound production is refused: %v", err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o440: true, 0o644: false, 0o660: false, 0o604: false, 0o602: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := app.LoadConfig(); (err == nil) != ok {
			t.Errorf("a key file of mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CRM_CORS_ORIGINS", "https://desk.example.com,*")
	refused("CRM_CORS_ORIGINS")
	t.Setenv("CRM_CORS_ORIGINS", "https://desk.example.com")
	for _, mode := range []string{"", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"} {
		t.Setenv("CRM_DATABASE_URL", "postgres://crm@db.example.com/crm"+mode)
		refused("CRM_DATABASE_URL")
	}
	for _, url := range []string{"postgres://crm@db.example.com/crm?sslmode=require", "postgres://crm@127.0.0.1/crm?sslmode=disable", "postgres:///crm?host=/run/postgresql"} {
		t.Setenv("CRM_DATABASE_URL", url)
		if _, err := app.LoadConfig(); err != nil {
			t.Errorf("%s is refused: %v", url, err)
		}
	}
	t.Setenv("CRM_MIGRATE_DATABASE_URL", "postgres://owner@db.example.com/crm")
	refused("CRM_MIGRATE_DATABASE_URL")
	t.Setenv("CRM_TRUSTED_PROXIES", "0.0.0.0/0")
	refused("CRM_TRUSTED_PROXIES")
}

func TestAddressesForAnswersAreChecked(t *testing.T) {
	t.Setenv("CRM_SUPPORT_ADDRESS", "Support@Example.com")
	if _, err := app.LoadDatabaseConfig(); err != nil {
		t.Errorf("in development: %v", err)
	}
	for variable, values := range map[string][]string{
		"CRM_REPLY_SECRET":    {"too short, a canary"},
		"CRM_SUPPORT_ADDRESS": {"support+canary@example.com", strings.Repeat("s", 64) + "@example.com", "support"},
	} {
		for _, value := range values {
			t.Run(value, func(t *testing.T) {
				t.Setenv(variable, value)
				_, err := app.LoadDatabaseConfig()
				if err == nil || !strings.Contains(err.Error(), "CRM_REPLY_SECRET") && !strings.Contains(err.Error(), "CRM_SUPPORT_ADDRESS") || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s=%s: %v", variable, value, err)
				}
			})
		}
	}
}
