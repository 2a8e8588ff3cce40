package app

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"fixdesk/pkg/address"
	"fixdesk/pkg/config"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/inbound"
)

// Prefix is the prefix of the names of the CRM's variables.
const Prefix = "CRM"

// Config has all settings. They are set only by environment variables.
type Config struct {
	config.Service
	config.Migrations
	Addr             string              `default:":8080" desc:"address to listen on, host:port"`
	OpsAddr          config.OptionalAddr `split_words:"true" default:"127.0.0.1:9080" desc:"address of /healthz, /readyz, /metrics and pprof for operators, who alone may reach it"`
	DatabaseURL      config.Secret       `split_words:"true" default:"postgres://localhost:5432/crm" desc:"the CRM's own PostgreSQL database, postgres://user:password@host:5432/crm"`
	DatabasePoolSize int32               `split_words:"true" default:"16" desc:"connections to the database, at most"`
	NotificationURL  string              `split_words:"true" default:"http://localhost:8081" desc:"where the notification service is"`
	PublicURL        string              `split_words:"true" default:"http://localhost:8080" desc:"address of the service for browsers, for the links to pages in mails"`
	KeysFile         string              `split_words:"true" desc:"signing keys, made and rotated by 'crm keys rotate'; unset, keys are generated and sessions end with the process"`
	Issuer           string              `default:"fixdesk" desc:"iss of the tokens; the notification service needs the same"`
	AdminEmail       string              `split_words:"true" desc:"address of the first admin, made at start unless it has an account"`
	AdminPassword    config.Secret       `split_words:"true" desc:"password of the first admin; needed with CRM_ADMIN_EMAIL"`
	VerifyEmail      string              `split_words:"true" desc:"required (the default in production): an unverified address gets no text of tickets by mail; off (the default in development): it does"`
	AuditRetention   time.Duration       `split_words:"true" default:"17520h" desc:"how long entries of the audit are kept at least, in hours; they go by whole months"`
	RelayInterval    time.Duration       `split_words:"true" default:"5s" desc:"how often the outbox is read without a wake-up, a positive duration"`
	ReopenWithin     time.Duration       `split_words:"true" default:"336h" desc:"how long after its closing a comment of the reporter reopens a ticket; 336h is 14 days"`
	TicketsPerHour   int                 `split_words:"true" default:"60" desc:"how many tickets a customer raises, and how many comments a customer writes, in any hour, a positive number"`
	SupportAddress   string              `split_words:"true" desc:"address to which people mail new tickets, as in support@example.com, and of which the addresses for answers are made; unset, mails can't be answered"`
	ReplySecret      config.Secret       `split_words:"true" desc:"secret of the addresses for answers, at least 32 characters, the same on every replica; unset, one that is made once and kept in the database. After a change, answers to older mails are found by their headers alone"`
	AttachmentMax    config.Size         `split_words:"true" default:"25MiB" desc:"the largest file that can be uploaded"`
	AttachmentQuota  config.Size         `split_words:"true" default:"500MiB" desc:"how much a person may upload in 24 hours"`
	AttachmentStore  string              `split_words:"true" default:"postgres" desc:"where new files are kept: postgres, file:///folder, or s3://bucket/prefix?endpoint=https://host&region=name; those that are there already: crm attachments move"`
	ClamdAddr        string              `split_words:"true" desc:"address of clamd, host:port or unix:/path, which scans files before they are served; unset, nothing is scanned"`
	CORSOrigins      []string            `envconfig:"CORS_ORIGINS" desc:"origins whose pages may call the API, separated by commas, as in https://desk.example.com"`

	AttachmentS3Key    string        `envconfig:"ATTACHMENT_S3_KEY" desc:"access key of buckets; unset, that of the environment (AWS_ACCESS_KEY_ID) or the machine"`
	AttachmentS3Secret config.Secret `envconfig:"ATTACHMENT_S3_SECRET" desc:"secret key of buckets"`

	RateLimit        config.RateLimit `split_words:"true" default:"3000+1000" desc:"requests of a user, with all sessions and API keys, on all replicas together"`
	RateLimitNetwork config.RateLimit `split_words:"true" default:"600+300" desc:"requests of a client network (an IPv4 address, an IPv6 /64) to public operations and with refused tokens"`
}

// LoadConfig reads the environment and refuses invalid values. Its error has a
// line for each of them, with the variable's name and the rule; the configuration
// beside an error is good for the format of the log alone.
func LoadConfig() (Config, error) {
	return loadConfig(Config.checkKeys)
}

// LoadDatabaseConfig is LoadConfig for commands that need no signing keys.
func LoadDatabaseConfig() (Config, error) {
	return loadConfig(func(Config) error { return nil })
}

func loadConfig(checkKeys func(Config) error) (Config, error) {
	var c Config
	err := errors.Join(config.Load(Prefix, &c), c.check(), checkKeys(c))
	return c, err
}

// requiresVerifiedEmail reports whether texts of tickets are mailed only to
// verified addresses.
func (c Config) requiresVerifiedEmail() bool {
	return c.VerifyEmail == "required" || c.VerifyEmail == "" && c.Env == config.Production
}

func (c Config) check() error {
	var bad []error
	refuse := func(format string, values ...any) { bad = append(bad, fmt.Errorf(format, values...)) }
	if c.VerifyEmail != "" && c.VerifyEmail != "required" && c.VerifyEmail != "off" {
		refuse("CRM_VERIFY_EMAIL must be required or off")
	}
	if c.RelayInterval <= 0 {
		refuse("CRM_RELAY_INTERVAL must be a positive duration, as in 5s")
	}
	if c.AuditRetention <= 0 {
		refuse("CRM_AUDIT_RETENTION must be a positive duration, as in 17520h")
	}
	if c.ReopenWithin < 0 {
		refuse("CRM_REOPEN_WITHIN must be a duration such as 336h, not below 0")
	}
	if c.TicketsPerHour <= 0 {
		refuse("CRM_TICKETS_PER_HOUR must be a positive number")
	}
	if c.DatabasePoolSize < 2 {
		refuse("CRM_DATABASE_POOL_SIZE must be at least 2")
	}
	for _, v := range []struct{ name, value string }{{"CRM_NOTIFICATION_URL", c.NotificationURL}, {"CRM_PUBLIC_URL", c.PublicURL}} {
		if u, err := url.Parse(v.value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			refuse("%s must be an address such as http://host:8080", v.name)
		}
	}
	if (c.AdminEmail == "") != !c.AdminPassword.IsSet() {
		refuse("CRM_ADMIN_EMAIL and CRM_ADMIN_PASSWORD go together: set both or neither")
	}
	bad = append(bad, c.checkInbound(), c.checkFiles())
	for _, origin := range c.CORSOrigins {
		if !config.IsOrigin(origin) {
			refuse("CRM_CORS_ORIGINS must list origins such as https://desk.example.com: scheme, host and port alone, in lower case")
		}
	}
	bad = append(bad, c.Service.Check(Prefix), c.Migrations.Check(Prefix), config.CheckAddr("CRM_ADDR", c.Addr),
		pg.CheckURL("CRM_DATABASE_URL", c.DatabaseURL.Reveal()), pg.CheckURL("CRM_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL.Reveal()))
	if c.Env == config.Production {
		bad = append(bad, pg.CheckEncrypted("CRM_DATABASE_URL", c.DatabaseURL.Reveal()),
			pg.CheckEncrypted("CRM_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL.Reveal()))
	}
	return errors.Join(bad...)
}

// checkFiles refuses invalid settings of files.
func (c Config) checkFiles() error {
	var bad []error
	refuse := func(format string, values ...any) { bad = append(bad, fmt.Errorf(format, values...)) }
	if _, err := attachment.ParseStore(c.AttachmentStore); err != nil {
		refuse("CRM_ATTACHMENT_STORE %w", err)
	}
	if (c.AttachmentS3Key == "") != !c.AttachmentS3Secret.IsSet() {
		refuse("CRM_ATTACHMENT_S3_KEY and CRM_ATTACHMENT_S3_SECRET go together: set both or neither")
	}
	if path, ok := strings.CutPrefix(c.ClamdAddr, "unix:"); c.ClamdAddr != "" && !(ok && strings.HasPrefix(path, "/")) {
		if config.CheckAddr("", c.ClamdAddr) != nil {
			refuse("CRM_CLAMD_ADDR must be host:port or unix:/path")
		}
	}
	return errors.Join(bad...)
}

// checkInbound refuses settings with which answers to mails would be lost.
func (c Config) checkInbound() error {
	canonical, err := address.Parse(c.SupportAddress)
	local, _, _ := strings.Cut(canonical, "@")
	switch {
	case c.SupportAddress == "":
		return nil
	case err != nil:
		return errors.New("CRM_SUPPORT_ADDRESS must be an e-mail address such as support@example.com")
	case len(local) > inbound.MaxSupportLocal || strings.Contains(local, "+"):
		return fmt.Errorf("CRM_SUPPORT_ADDRESS must have at most %d characters before the @, and no plus sign there", inbound.MaxSupportLocal)
	case c.ReplySecret.IsSet() && len(c.ReplySecret.Reveal()) < minReplySecret:
		return fmt.Errorf("CRM_REPLY_SECRET must have at least %d characters", minReplySecret)
	}
	return nil
}

// minReplySecret is the least length of CRM_REPLY_SECRET in octets.
const minReplySecret = 32

// checkKeys refuses signing keys that are not safe in production.
func (c Config) checkKeys() error {
	if c.Env != config.Production {
		return nil
	}
	if c.KeysFile == "" {
		return errors.New("CRM_KEYS_FILE must name a key file in production (make one with 'crm keys rotate --file PATH'): made-up keys would end every session at each restart")
	}
	// Kubernetes lets the group of the process read what it mounts.
	if info, err := os.Stat(c.KeysFile); err == nil && info.Mode().Perm()&0o037 != 0 {
		return errors.New("CRM_KEYS_FILE must be readable by its owner and group alone, and writable by its owner alone, in production (chmod 640 or 600)")
	}
	return nil
}
