package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/launch"
)

// settings are the variables of the launcher itself. Those of the services are
// passed on to them unchanged.
type settings struct {
	State               string              `envconfig:"FIXDESK_STATE" desc:"folder for data, logs, keys and caught mail; default .state in the repository"`
	CRMAddr             string              `envconfig:"CRM_ADDR" default:"127.0.0.1:8080" desc:"where the CRM listens"`
	NotificationAddr    string              `envconfig:"NOTIFICATION_ADDR" default:"127.0.0.1:8081" desc:"where the notification service listens"`
	CRMOpsAddr          config.OptionalAddr `envconfig:"CRM_OPS_ADDR" default:"127.0.0.1:9080" desc:"where the CRM serves /metrics and pprof; unset and in use, a free port"`
	NotificationOpsAddr config.OptionalAddr `envconfig:"NOTIFICATION_OPS_ADDR" default:"127.0.0.1:9081" desc:"where the notification service serves /metrics and pprof; unset and in use, a free port"`
	InboundAddr         config.OptionalAddr `envconfig:"NOTIFICATION_INBOUND_ADDR" default:"127.0.0.1:1026" desc:"where the notification service takes mail for the domain of CRM_SUPPORT_ADDRESS, by SMTP; unset and in use, a free port"`
	SMTPAddr            string              `envconfig:"MAIL_SMTP_ADDR" default:"127.0.0.1:1025" desc:"where the mail catcher accepts mail by SMTP"`
	MailAddr            string              `envconfig:"MAIL_HTTP_ADDR" default:"127.0.0.1:8025" desc:"where the mail catcher shows it in a browser"`
	DatabaseURL         config.Secret       `envconfig:"DATABASE_URL" desc:"URL of a PostgreSQL server to use instead of starting one; its user must be allowed to create databases"`
	PGBinDir            string              `envconfig:"PG_BIN_DIR" desc:"folder of PostgreSQL's programs; default is to look in the usual places"`
	SMTPURL             config.Secret       `envconfig:"NOTIFICATION_SMTP_URL" desc:"smtp://host:port or smtps://user:password@host of a mail server to use instead of the catcher"`
	SupportAddress      string              `envconfig:"CRM_SUPPORT_ADDRESS" default:"support@fixdesk.test" desc:"address to which people mail new tickets, and of which the addresses for answers are made"`
	AdminEmail          string              `envconfig:"CRM_ADMIN_EMAIL" desc:"e-mail address of the first admin; made up and kept when unset"`
	AdminPassword       config.Secret       `envconfig:"CRM_ADMIN_PASSWORD" desc:"password of the first admin; made up and kept when unset"`

	bin string // folder of the programs
}

func readSettings() (*settings, error) {
	s := &settings{}
	if err := config.Load("", s); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.bin = filepath.Dir(program)
	if s.State == "" {
		root, err := launch.Repository()
		if err != nil {
			return nil, fmt.Errorf("run this inside the Fixdesk repository, or set FIXDESK_STATE: %w", err)
		}
		s.State = filepath.Join(root, ".state")
	}
	if s.State, err = filepath.Abs(s.State); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *settings) path(names ...string) string {
	return filepath.Join(append([]string{s.State}, names...)...)
}

// address is one that the stack listens on.
type address struct {
	variable string // that changes it
	value    *string
	what     string
	movable  bool // to a free port, since the user did not choose it
}

func (s *settings) addresses() []address {
	all := []address{
		{variable: "CRM_ADDR", value: &s.CRMAddr, what: "the CRM"},
		{variable: "NOTIFICATION_ADDR", value: &s.NotificationAddr, what: "the notification service"},
	}
	for _, other := range []struct {
		variable string
		value    *config.OptionalAddr
		what     string
	}{
		{"CRM_OPS_ADDR", &s.CRMOpsAddr, "the CRM's operations listener"},
		{"NOTIFICATION_OPS_ADDR", &s.NotificationOpsAddr, "the notification service's operations listener"},
		{"NOTIFICATION_INBOUND_ADDR", &s.InboundAddr, "the notification service's SMTP for incoming mail"},
	} {
		if *other.value != "" {
			_, chosen := os.LookupEnv(other.variable)
			all = append(all, address{other.variable, (*string)(other.value), other.what, !chosen})
		}
	}
	if !s.SMTPURL.IsSet() {
		all = append(all,
			address{variable: "MAIL_SMTP_ADDR", value: &s.SMTPAddr, what: "the mail catcher's SMTP"},
			address{variable: "MAIL_HTTP_ADDR", value: &s.MailAddr, what: "the mail catcher's pages"})
	}
	return all
}

// reserve listens on every address before anything is started, so that a port in
// use is reported with the variable that changes it. Port 0 becomes a free one. The
// caller closes the listeners, or serves on them.
func (s *settings) reserve() (map[string]net.Listener, error) {
	listeners := map[string]net.Listener{}
	var failed []error
	for _, a := range s.addresses() {
		listener, err := listen(*a.value)
		if err != nil && a.movable {
			listener, err = listen(anyPort)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s can't listen on %s (%w); set %s to another address, such as 127.0.0.1:%s",
				a.what, *a.value, reason(err), a.variable, otherPort(*a.value)))
			continue
		}
		*a.value = listener.Addr().String()
		listeners[a.variable] = listener
	}
	if len(failed) > 0 {
		for _, listener := range listeners {
			listener.Close()
		}
		return nil, errors.Join(failed...)
	}
	return listeners, nil
}

const anyPort = "127.0.0.1:0"

// listen listens on an address. The port for anyPort is one that no other program is
// given between the end of the listener and the start of the service.
func listen(address string) (net.Listener, error) {
	if address == anyPort {
		free, err := launch.FreeAddress()
		if err != nil {
			return nil, err
		}
		address = free
	}
	return net.Listen("tcp", address)
}

// reason is the last cause of a network error: "address already in use".
func reason(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// otherPort is another port for the message.
func otherPort(address string) string {
	_, text, _ := net.SplitHostPort(address)
	port, err := strconv.Atoi(text)
	if err != nil || port > 1<<16-1-10000 {
		port = 8080
	}
	return strconv.Itoa(port + 10000)
}

// webURL is the URL by which a browser on this machine reaches address.
func webURL(address string) string { return "http://" + dialable(address, "localhost") }

// dialable replaces an unspecified or loopback host by one that this machine can
// connect to.
func dialable(address, loopback string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1))) {
		host = loopback
	}
	return net.JoinHostPort(host, port)
}

// inherited are the user's variables, besides a service's own, that it is given.
var inherited = []string{"PATH", "HOME", "TMPDIR", "TZ", "LANG", "GOMAXPROCS", "GOMEMLIMIT", "GODEBUG", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// environment returns a service's environment: a few general variables, the user's
// with its prefix, and those that the stack sets, save secrets that the user has in
// files.
func environment(prefix string, decided map[string]string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(inherited, name) || strings.HasPrefix(name, prefix) || strings.HasPrefix(name, "OTEL_") {
			if _, ours := decided[name]; !ours {
				env = append(env, entry)
			}
		}
	}
	for name, value := range decided {
		if !isInFile(name) {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

// isInFile reports whether the user has named the file of a secret.
func isInFile(name string) bool { return os.Getenv(name+"_FILE") != "" }

// givenOr returns the user's value of a variable, or else the stack's.
func givenOr(name, value string) string {
	if given := os.Getenv(name); given != "" {
		return given
	}
	return value
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, `Fixdesk on one machine: PostgreSQL, a mail catcher, the CRM and the
notification service, with keys and a first admin of its own.

  make run      builds and starts all of it; ctrl-C or SIGTERM stops it
  make demo     the same, and fills it with a month of tickets if it has none
  make token    prints a service token for it:
                make token SCOPE="notifications:read" [SUBJECT=ops] [TTL=1h]

Without make: deploy/local/build.sh builds the programs into bin/, then

  bin/local                    starts all of it
  bin/local demo               the same, filled with a demonstration
  bin/local token --scope …    prints a token, with the flags of "crm token"
  bin/local help               this text

Variables that start with CRM_ or NOTIFICATION_ are passed on to that service;
"bin/crm help" and "bin/notification help" list them. The launcher's own:

`)
	_ = config.Usage(w, "", &settings{}) // fails for a bad struct only, which a test would show
	fmt.Fprint(w, `
Exit codes: 0 stopped as asked, 1 something failed, 2 called wrongly.
`)
}
