package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"strings"
	"time"

	"fixdesk/pkg/address"
	"fixdesk/pkg/config"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/email"
)

// Prefix is the prefix of the names of the service's variables.
const Prefix = "NOTIFICATION"

// Config has all settings. They are set only by environment variables.
type Config struct {
	config.Service
	config.Migrations
	Addr             string              `default:":8081" desc:"address to listen on, host:port"`
	OpsAddr          config.OptionalAddr `split_words:"true" default:"127.0.0.1:9081" desc:"address of /healthz, /readyz, /metrics and pprof for operators, who alone may reach it"`
	DatabaseURL      config.Secret       `split_words:"true" default:"postgres://localhost:5432/notification" desc:"the service's own PostgreSQL database, postgres://user:password@host:5432/notification"`
	DatabasePoolSize int32               `split_words:"true" default:"10" desc:"connections to the database, at most"`
	JWKSURL          string              `envconfig:"JWKS_URL" default:"http://localhost:8080/.well-known/jwks.json" desc:"where the keys that verify callers' tokens are"`
	Issuer           string              `default:"fixdesk" desc:"iss that tokens must have; the same as CRM_ISSUER"`
	SMTPURL          config.Secret       `envconfig:"SMTP_URL" default:"smtp://localhost:1025" desc:"mail servers by priority, separated by commas: smtp://[user:password@]host[:port] or smtps://…, options ?tls=required|opportunistic|none&auth=plain|login|cram-md5|scram-sha-1|scram-sha-256|xoauth2"`
	SMTPConnections  int                 `envconfig:"SMTP_CONNECTIONS" default:"10" desc:"mails sent at a time, each over its own connection, 1 to 200; of two or more, one sends no bulk mails"`
	SMTPTimeout      SMTPTimeouts        `envconfig:"SMTP_TIMEOUT"`
	SMTPMaxMessages  int                 `envconfig:"SMTP_MAX_MESSAGES" default:"100" desc:"mails that one connection carries, at least 1"`
	SMTPIdleTime     time.Duration       `envconfig:"SMTP_IDLE_TIME" default:"15s" desc:"how long an unused connection is kept, a positive duration"`
	SMTPHELO         string              `envconfig:"SMTP_HELO" desc:"name given in EHLO; unset, the mail domain"`
	SMTPCAFile       string              `envconfig:"SMTP_CA_FILE" desc:"certificates in PEM to trust besides the system's, for a mail server with a private one"`
	MailFrom         string              `split_words:"true" default:"Fixdesk <fixdesk@localhost.localdomain>" desc:"sender of every mail, Name <address> or an address"`
	MailDomain       string              `split_words:"true" desc:"right side of Message-IDs; unset, the sender's domain"`
	BounceDomain     string              `split_words:"true" desc:"domain of the envelope sender bounce+<recipient id>.<token>@domain, to which delivery reports go; unset, the envelope sender is that of NOTIFICATION_MAIL_FROM and reports are matched by their copy of the Message-ID"`
	BounceSecret     config.Secret       `split_words:"true" desc:"key of the tokens in bounce addresses, at least 32 characters, the same on every replica; unset, one is made and kept in the database"`
	DKIMKeyFile      string              `envconfig:"DKIM_KEY_FILE" desc:"RSA or Ed25519 private key in PEM; set, every mail is signed"`
	DKIMSelector     string              `envconfig:"DKIM_SELECTOR" desc:"where in the domain's DNS the public key is; needed with NOTIFICATION_DKIM_KEY_FILE"`
	DKIMDomain       string              `envconfig:"DKIM_DOMAIN" desc:"domain that signs; unset, the sender's"`
	RetryBase        time.Duration       `split_words:"true" default:"30s" desc:"longest wait after the first temporary failure; doubles with each further one"`
	RetryCap         time.Duration       `split_words:"true" default:"1h" desc:"longest wait between two tries"`
	GiveUpAfter      time.Duration       `split_words:"true" default:"48h" desc:"after this a temporary failure is final"`
	PollInterval     time.Duration       `split_words:"true" default:"5s" desc:"how often due recipients and expired leases are looked for without being woken"`
	Lease            time.Duration       `default:"60s" desc:"how long a recipient is reserved for the replica that sends its mail, at least 1s; renewed while the conversation lasts"`
	Retention        time.Duration       `default:"2160h" desc:"how long a notification is kept after its last recipient ended; 0 keeps it without limit"`

	Inbound Inbound
	IMAPURL config.Secret `envconfig:"IMAP_URL" desc:"mailbox whose mail is taken in: imaps://user:password@host[:port][/folder], or imap:// with STARTTLS, or without TLS by ?tls=none; unset, none is read"`

	RateLimit        config.RateLimit `split_words:"true" default:"60000+10000" desc:"requests of a client (the sub of its tokens), on all replicas together"`
	RateLimitNetwork config.RateLimit `split_words:"true" default:"600+300" desc:"requests with refused tokens of a client network (an IPv4 address, an IPv6 /64)"`
}

// SMTPTimeouts are email.Timeouts; each has its own variable. The defaults are
// those of RFC 5321 section 4.5.3.2, which has none for Connect.
type SMTPTimeouts struct {
	Connect  time.Duration `default:"30s" desc:"bounds connecting to a mail server, a positive duration, as all of these"`
	Greeting time.Duration `default:"5m" desc:"bounds a mail server's greeting, and again EHLO, TLS and login together"`
	Mail     time.Duration `default:"5m" desc:"bounds the reply to MAIL"`
	Rcpt     time.Duration `default:"5m" desc:"bounds the reply to RCPT"`
	Data     time.Duration `default:"2m" desc:"bounds the reply to DATA"`
	Block    time.Duration `default:"3m" desc:"bounds writing one block of a mail"`
	Dot      time.Duration `default:"10m" desc:"bounds the reply to the mail itself"`
}

// LoadConfig reads the environment and refuses invalid values. Its error has a
// line for each of them, with the variable's name and the rule; the configuration
// beside an error is good for the format of the log alone.
func LoadConfig() (Config, error) {
	var c Config
	err := errors.Join(config.Load(Prefix, &c), c.check())
	return c, err
}

func (c Config) check() error {
	var bad []error
	refuse := func(format string, values ...any) { bad = append(bad, fmt.Errorf(format, values...)) }
	for _, v := range []struct {
		name  string
		value time.Duration
	}{
		{"SMTP_TIMEOUT_CONNECT", c.SMTPTimeout.Connect}, {"SMTP_TIMEOUT_GREETING", c.SMTPTimeout.Greeting},
		{"SMTP_TIMEOUT_MAIL", c.SMTPTimeout.Mail}, {"SMTP_TIMEOUT_RCPT", c.SMTPTimeout.Rcpt}, {"SMTP_TIMEOUT_DATA", c.SMTPTimeout.Data},
		{"SMTP_TIMEOUT_BLOCK", c.SMTPTimeout.Block}, {"SMTP_TIMEOUT_DOT", c.SMTPTimeout.Dot},
		{"SMTP_IDLE_TIME", c.SMTPIdleTime}, {"RETRY_BASE", c.RetryBase},
		{"GIVE_UP_AFTER", c.GiveUpAfter}, {"POLL_INTERVAL", c.PollInterval},
	} {
		if v.value <= 0 {
			refuse("NOTIFICATION_%s must be a positive duration, as in 5s", v.name)
		}
	}
	if c.RetryCap < c.RetryBase {
		refuse("NOTIFICATION_RETRY_CAP must not be shorter than NOTIFICATION_RETRY_BASE")
	}
	bad = append(bad, c.Inbound.check(), c.checkIMAP())
	if c.Retention < 0 {
		refuse("NOTIFICATION_RETENTION must be 0 or a positive duration")
	}
	if c.SMTPConnections < 1 || c.SMTPConnections > 200 {
		refuse("NOTIFICATION_SMTP_CONNECTIONS must be from 1 to 200")
	}
	if c.SMTPMaxMessages < 1 {
		refuse("NOTIFICATION_SMTP_MAX_MESSAGES must be at least 1")
	}
	if c.DatabasePoolSize < 4 {
		refuse("NOTIFICATION_DATABASE_POOL_SIZE must be at least 4")
	}
	if c.Lease < time.Second {
		refuse("NOTIFICATION_LEASE must be at least 1s")
	}
	if u, err := url.Parse(c.JWKSURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		refuse("NOTIFICATION_JWKS_URL must be an address such as http://host:8080/.well-known/jwks.json")
	} else if c.Env == config.Production && u.Scheme != "https" && !config.IsThisHost(u.Hostname()) {
		refuse("NOTIFICATION_JWKS_URL must be https in production, unless it is on this host")
	}
	bad = append(bad, config.CheckAddr("NOTIFICATION_ADDR", c.Addr),
		pg.CheckURL("NOTIFICATION_DATABASE_URL", c.DatabaseURL.Reveal()), pg.CheckURL("NOTIFICATION_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL.Reveal()))
	if c.Env == config.Production {
		bad = append(bad, pg.CheckEncrypted("NOTIFICATION_DATABASE_URL", c.DatabaseURL.Reveal()),
			pg.CheckEncrypted("NOTIFICATION_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL.Reveal()))
	}
	return errors.Join(append(bad, c.Service.Check(Prefix), c.Migrations.Check(Prefix), c.checkMail())...)
}

func (c Config) checkMail() error {
	var bad []error
	refuse := func(format string, values ...any) { bad = append(bad, fmt.Errorf(format, values...)) }
	servers, err := c.servers()
	if err != nil {
		bad = append(bad, err)
	}
	if _, err := c.sender(); err != nil {
		bad = append(bad, err)
	}
	if c.Env != config.Production {
		return errors.Join(bad...)
	}
	for _, s := range servers {
		if s.MayBePlainText() {
			refuse("NOTIFICATION_SMTP_URL must not use plain text to %s in production: use smtps:// or leave out tls=", s.Name())
		}
	}
	if from, _ := c.from(); strings.HasSuffix(from.Address, "@localhost.localdomain") {
		refuse("NOTIFICATION_MAIL_FROM must be set to an address of your domain in production")
	}
	return errors.Join(bad...)
}

// servers reads the mail servers by priority.
func (c Config) servers() ([]email.Server, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	var servers []email.Server
	for raw := range strings.SplitSeq(c.SMTPURL.Reveal(), ",") {
		s, err := email.ParseServer(raw)
		if err != nil {
			return nil, fmt.Errorf("NOTIFICATION_SMTP_URL: %w", err)
		}
		s.RootCAs = roots
		servers = append(servers, s)
	}
	return servers, nil
}

func (c Config) roots() (*x509.CertPool, error) {
	if c.SMTPCAFile == "" {
		return nil, nil //nolint:nilnil // no pool means the system's, as crypto/tls has it
	}
	pem, err := os.ReadFile(c.SMTPCAFile)
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_SMTP_CA_FILE: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("NOTIFICATION_SMTP_CA_FILE must hold certificates in PEM")
	}
	return roots, nil
}

func (c Config) from() (mail.Address, error) {
	from, err := mail.ParseAddress(c.MailFrom)
	if err == nil {
		_, err = address.Parse(from.Address)
	}
	if err != nil {
		return mail.Address{}, errors.New("NOTIFICATION_MAIL_FROM must be a sender such as Fixdesk <desk@example.com>")
	}
	return *from, nil
}

// sender reads the sender of the mails.
func (c Config) sender() (email.Sender, error) {
	from, err := c.from()
	if err != nil {
		return email.Sender{}, err
	}
	s := email.Sender{From: from}
	if s.Bounces, err = c.bounces(); err != nil {
		return s, err
	}
	if c.DKIMKeyFile == "" {
		if c.DKIMSelector != "" || c.DKIMDomain != "" {
			return s, errors.New("NOTIFICATION_DKIM_SELECTOR and NOTIFICATION_DKIM_DOMAIN need NOTIFICATION_DKIM_KEY_FILE")
		}
		return s, nil
	}
	domain := c.DKIMDomain
	if domain == "" {
		domain = domainOf(from)
	}
	if s.DKIM, err = email.LoadDKIM(domain, c.DKIMSelector, c.DKIMKeyFile); err != nil {
		return s, fmt.Errorf("NOTIFICATION_DKIM_KEY_FILE: %w", err)
	}
	return s, nil
}

// minBounceSecret is the length of the shortest secret of bounce addresses.
const minBounceSecret = 32

// bounces reads what makes the envelope senders; nil without a domain for them.
func (c Config) bounces() (*email.BounceAddresses, error) {
	secret := c.BounceSecret.Reveal()
	if secret != "" && len(secret) < minBounceSecret {
		return nil, fmt.Errorf("NOTIFICATION_BOUNCE_SECRET must have at least %d characters", minBounceSecret)
	}
	if c.BounceDomain == "" {
		return nil, nil //nolint:nilnil // no domain means no addresses
	}
	example, err := address.Parse("bounce@" + c.BounceDomain)
	if err != nil {
		return nil, errors.New("NOTIFICATION_BOUNCE_DOMAIN must be a domain name such as bounces.example.com")
	}
	return &email.BounceAddresses{Domain: strings.TrimPrefix(example, "bounce@"), Secret: secret}, nil
}

// mailDomain is the right side of Message-IDs.
func (c Config) mailDomain(from mail.Address) string {
	if c.MailDomain != "" {
		return c.MailDomain
	}
	return domainOf(from)
}

func domainOf(a mail.Address) string { return a.Address[strings.LastIndexByte(a.Address, '@')+1:] }
