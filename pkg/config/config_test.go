package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/config"
	"fixdesk/pkg/obs"
)

type settings struct {
	Addr           string         `default:"127.0.0.1:8080" desc:"where the service listens"`
	DatabaseURL    config.Secret  `split_words:"true" default:"postgres://local/db" desc:"the database"`
	RetryBase      time.Duration  `split_words:"true" default:"30s" desc:"first pause between tries"`
	Connections    int            `default:"10" desc:"open connections"`
	TrustedProxies []netip.Prefix `split_words:"true" desc:"proxies whose word is taken"`
	LogFormat      obs.Format     `split_words:"true" default:"json" desc:"format of the log"`
	LogLevel       slog.Level     `split_words:"true" default:"info" desc:"least level of the log"`
	SMTP           struct {
		URL config.Secret `desc:"the mail server"`
	}
	Path string `envconfig:"PATH" default:"/srv" desc:"a name that also exists without the prefix"`
}

func TestLoadTakesDefaultsAndTheEnvironment(t *testing.T) {
	t.Setenv("T_DATABASE_URL", "postgres://u:canary@h/db")
	t.Setenv("T_RETRY_BASE", "2m")
	t.Setenv("T_TRUSTED_PROXIES", "10.0.0.0/8,192.168.0.0/16")
	t.Setenv("T_SMTP_URL", "smtp://h:25")
	var s settings
	if err := config.Load("T", &s); err != nil {
		t.Fatal(err)
	}
	if s.Addr != "127.0.0.1:8080" || s.RetryBase != 2*time.Minute || len(s.TrustedProxies) != 2 ||
		s.LogFormat != obs.JSON || s.LogLevel != slog.LevelInfo ||
		s.DatabaseURL.Reveal() != "postgres://u:canary@h/db" || s.SMTP.URL.Reveal() != "smtp://h:25" {
		t.Errorf("settings = %+v", s)
	}
	if s.Path != "/srv" {
		t.Error("PATH was taken for T_PATH")
	}
	if os.Getenv("PATH") == "" {
		t.Error("PATH was not restored")
	}
}

func TestBadValueIsNamedWithWhatWouldBeRightAndNotRepeated(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"T_RETRY_BASE", "canary", "T_RETRY_BASE has a bad value: want a duration such as 500ms, 30s or 1h (first pause between tries)"},
		{"T_CONNECTIONS", "canary", "T_CONNECTIONS has a bad value: want a whole number (open connections)"},
		{"T_TRUSTED_PROXIES", "10.0.0.0/8,canary", "want a comma-separated list, each a network such as 10.0.0.0/8"},
		{"T_LOG_FORMAT", "canary", `T_LOG_FORMAT has a bad value: want "json" or "text"`},
		{"T_LOG_LEVEL", "canary", "want a level: debug, info, warn or error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tt.name, tt.value)
			err := config.Load("T", &settings{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestBadValuesAreAllNamedAtOnce(t *testing.T) {
	t.Setenv("T_RETRY_BASE", "canary")
	t.Setenv("T_CONNECTIONS", "canary")
	t.Setenv("T_LOG_FORMAT", "canary")
	t.Setenv("T_ADDR", "127.0.0.1:9")
	var s settings
	err := config.Load("T", &s)
	if err == nil {
		t.Fatal("bad values were accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, name := range []string{"T_RETRY_BASE", "T_CONNECTIONS", "T_LOG_FORMAT"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+" has a bad value: want ") }) {
			t.Errorf("%s is not named in: %v", name, err)
		}
		if os.Getenv(name) != "canary" {
			t.Errorf("%s was not restored", name)
		}
	}
	if len(lines) != 3 || s.Addr != "127.0.0.1:9" {
		t.Errorf("%d lines; the good value is %q", len(lines), s.Addr)
	}
}

func TestUsageListsEachVariableWithDefaultMeaningAndTypeIn80Columns(t *testing.T) {
	var out bytes.Buffer
	if err := config.Usage(&out, "T", &settings{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  T_RETRY_BASE=30s\n        first pause between tries (a duration such as 500ms, 30s or 1h)\n",
		"  T_SMTP_URL\n        the mail server (a secret, or the path of its file in T_SMTP_URL_FILE)\n",
		"  T_PATH=/srv\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	out.Reset()
	var wide struct {
		Long string `desc:"servers by priority, separated by commas: smtp://[user:password@]host[:port] with options ?tls=required|opportunistic|none&auth=plain|login|cram-md5|scram-sha-1|scram-sha-256|xoauth2"`
	}
	if err := config.Usage(&out, "T", &wide); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if !strings.Contains(strings.Join(strings.Fields(out.String()), ""), "scram-sha-256|xoauth2") {
		t.Errorf("text is lost in:\n%s", out.String())
	}
}

func TestUnknownVariablesAreListed(t *testing.T) {
	t.Setenv("T_RETRY_BAES", "1s")
	t.Setenv("T_ADDR", ":0")
	t.Setenv("T_TEST_DATABASE", "x")
	t.Setenv("T_DATABASE_URL_FILE", "/run/secrets/database")
	t.Setenv("T_ADDR_FILE", "/run/secrets/addr") // not a secret
	if got := config.Unknown("T", &settings{}, "T_TEST_"); !slices.Equal(got, []string{"T_ADDR_FILE", "T_RETRY_BAES"}) {
		t.Errorf("Unknown = %v", got)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := config.NewSecret("canary")
	hidden := struct{ inner config.Secret }{secret}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb+verb+verb, secret, &secret, hidden)
	}
	for _, format := range []obs.Format{obs.JSON, obs.Text} {
		obs.NewLogger(&out, slog.LevelInfo, format).Info("x", "a", secret, "b", &secret, "c", map[string]any{"d": secret}, "e", hidden)
	}
	b, err := json.Marshal(map[string]any{"a": secret, "b": &secret})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	_, _ = fmt.Fprint(&out, fmt.Errorf("wrap: %v", secret))
	for _, leak := range []string{"canary", fmt.Sprintf("%x", "canary")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in the output: %s", leak, out.String())
		}
	}
	if secret.Reveal() != "canary" || !secret.IsSet() || (config.Secret{}).IsSet() {
		t.Error("the value itself is lost")
	}
}
