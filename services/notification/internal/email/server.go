package email

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// Server is one mail server and how to connect to it.
type Server struct {
	Host     string
	Port     int
	TLS      TLSPolicy
	Auth     gomail.SMTPAuthType // "" with a user: the best the server offers
	User     string
	Password string
	RootCAs  *x509.CertPool // nil: the system's
}

// TLSPolicy is how a conversation is protected.
type TLSPolicy string

// The policies.
const (
	TLSImplicit      TLSPolicy = "implicit"      // TLS from the first byte: smtps:// (RFC 8314)
	TLSRequired      TLSPolicy = "required"      // STARTTLS (RFC 3207) or no mail
	TLSOpportunistic TLSPolicy = "opportunistic" // STARTTLS where offered
	TLSNone          TLSPolicy = "none"          // plain text
)

// ErrServerURL is wrapped by every refusal of ParseServer.
var ErrServerURL = errors.New("want smtp://[user:password@]host[:port] or smtps://…, " +
	"with ?tls=required|opportunistic|none and ?auth=plain|login|cram-md5|scram-sha-1|scram-sha-256|xoauth2 where needed")

var authTypes = map[string]gomail.SMTPAuthType{
	"plain":         gomail.SMTPAuthPlain,
	"login":         gomail.SMTPAuthLogin,
	"cram-md5":      gomail.SMTPAuthCramMD5,
	"scram-sha-1":   gomail.SMTPAuthSCRAMSHA1,
	"scram-sha-256": gomail.SMTPAuthSCRAMSHA256,
	"xoauth2":       gomail.SMTPAuthXOAUTH2,
}

// ParseServer reads a server's URL. TLS is required for any host but the local
// one, unless the URL has another tls option. The port defaults to 465 for smtps,
// else to 587 with a user and 25 without (RFC 6409). Errors never repeat the URL,
// which may contain a password.
func ParseServer(raw string) (Server, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return Server{}, ErrServerURL
	}
	s := Server{Host: u.Hostname(), User: u.User.Username()}
	s.Password, _ = u.User.Password()
	switch u.Scheme {
	case "smtps":
		s.TLS, s.Port = TLSImplicit, 465
	case "smtp":
		s.TLS, s.Port = TLSRequired, 25
		if s.User != "" {
			s.Port = 587
		}
		if s.IsLocal() {
			s.TLS = TLSNone
		}
	default:
		return Server{}, ErrServerURL
	}
	if p := u.Port(); p != "" {
		if s.Port, err = strconv.Atoi(p); err != nil || s.Port < 1 || s.Port > 65535 {
			return Server{}, fmt.Errorf("the port is not one from 1 to 65535: %w", ErrServerURL)
		}
	}
	return s, s.parseOptions(u.Query())
}

func (s *Server) parseOptions(q url.Values) error {
	for name := range q {
		switch name {
		case "tls":
			policy := TLSPolicy(q.Get(name))
			if s.TLS == TLSImplicit || !slices.Contains([]TLSPolicy{TLSRequired, TLSOpportunistic, TLSNone}, policy) {
				return fmt.Errorf("tls does not fit: %w", ErrServerURL)
			}
			s.TLS = policy
		case "auth":
			auth, ok := authTypes[q.Get(name)]
			if !ok || s.User == "" {
				return fmt.Errorf("auth is unknown or has no user: %w", ErrServerURL)
			}
			s.Auth = auth
		default:
			return fmt.Errorf("an unknown option: %w", ErrServerURL)
		}
	}
	return nil
}

// Name is the server's address, which is safe to show.
func (s Server) Name() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// IsLocal reports whether a conversation stays on this machine.
func (s Server) IsLocal() bool {
	if s.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(s.Host)
	return err == nil && ip.IsLoopback()
}

// MayBePlainText reports whether mail could reach another machine unprotected.
func (s Server) MayBePlainText() bool {
	return !s.IsLocal() && (s.TLS == TLSNone || s.TLS == TLSOpportunistic)
}

func (s Server) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12, RootCAs: s.RootCAs}
}

// clientOptions are go-mail's settings for one connection.
func (s Server) clientOptions() []gomail.Option {
	policy := map[TLSPolicy]gomail.TLSPolicy{
		TLSImplicit: gomail.NoTLS, TLSNone: gomail.NoTLS,
		TLSRequired: gomail.TLSMandatory, TLSOpportunistic: gomail.TLSOpportunistic,
	}[s.TLS]
	options := []gomail.Option{
		gomail.WithPort(s.Port), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tlsConfig()),
		gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if s.User == "" {
		return options
	}
	options = append(options, gomail.WithUsername(s.User), gomail.WithPassword(s.Password))
	if s.Auth != "" {
		return append(options, gomail.WithSMTPAuth(s.Auth))
	}
	return append(options, gomail.WithOpportunisticSMTPAuth(
		gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
}
