package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fixdesk/pkg/config"
)

func TestSecretIsReadFromItsFileWithoutTheLastNewline(t *testing.T) {
	for content, want := range map[string]string{
		"postgres://u:p@h/db\n": "postgres://u:p@h/db", "a\r\n": "a", "a": "a", " a \n\n": " a \n",
	} {
		t.Setenv("T_DATABASE_URL_FILE", secretFile(t, content))
		var s settings
		if err := config.Load("T", &s); err != nil || s.DatabaseURL.Reveal() != want {
			t.Errorf("%q is %q, %v", content, s.DatabaseURL.Reveal(), err)
		}
		if _, left := os.LookupEnv("T_DATABASE_URL"); left {
			t.Error("the secret stays in the environment")
		}
	}
}

func TestSecretFileThatCanNotBeUsedIsRefusedByNameWithoutItsPath(t *testing.T) {
	for name, tt := range map[string]struct{ path, want string }{
		"missing":   {"/nowhere/canary", "T_DATABASE_URL_FILE must name a file with the secret: no such file or directory"},
		"empty":     {secretFile(t, "\n"), "it is empty"},
		"too large": {secretFile(t, strings.Repeat("a", 64<<10+1)), "it is larger than 64 KiB"},
		"NUL":       {secretFile(t, "a\x00"), "a NUL character"},
		"a folder":  {t.TempDir(), "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("T_DATABASE_URL_FILE", tt.path)
			t.Setenv("T_CONNECTIONS", "canary")
			err := config.Load("T", &settings{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "T_CONNECTIONS has") || strings.Contains(err.Error(), tt.path) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSecretBothInItsVariableAndInAFileIsRefused(t *testing.T) {
	t.Setenv("T_SMTP_URL", "smtp://canary")
	t.Setenv("T_SMTP_URL_FILE", secretFile(t, "smtp://canary"))
	err := config.Load("T", &settings{})
	if err == nil || err.Error() != "T_SMTP_URL and T_SMTP_URL_FILE must not both be set" {
		t.Errorf("%v", err)
	}
}

func TestSwitchIsOnOrOff(t *testing.T) {
	for text, want := range map[string]bool{"on": true, "off": false} {
		var s config.Switch
		if err := s.UnmarshalText([]byte(text)); err != nil || s.On() != want {
			t.Errorf("%s: %t, %v", text, s.On(), err)
		}
	}
	for _, text := range []string{"", "true", "OFF", "0"} {
		if err := new(config.Switch).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o400); err != nil {
		t.Fatal(err)
	}
	return path
}
