package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"fixdesk/pkg/obs"
)

// Service holds the settings that both services have; embed it in a service's
// own.
type Service struct {
	Env              Environment    `default:"development" desc:"development, or production, which refuses what is only safe on one's own machine"`
	TrustedProxies   []netip.Prefix `split_words:"true" desc:"networks whose X-Forwarded-For is believed, separated by commas, as in 10.0.0.0/8"`
	LogLevel         slog.Level     `split_words:"true" default:"info" desc:"debug, info, warn or error"`
	LogFormat        obs.Format     `split_words:"true" default:"json" desc:"json or text"`
	LogClientAddress Switch         `split_words:"true" default:"on" desc:"off leaves the addresses of clients out of the log of requests"`
	Instance         string         `desc:"name of this replica in the log; unset, the name of the host"`
	RequestTimeout   time.Duration  `split_words:"true" default:"10s" desc:"how long a request may take, streams aside, before it is canceled and answered 503"`
	MaxRequests      int            `split_words:"true" default:"64" desc:"requests served at the same time, streams aside, at least 1; others wait half a second and are answered 503"`
	H2C              bool           `envconfig:"H2C" desc:"true: HTTP/2 without TLS is served too (h2c with prior knowledge), for proxies that speak it"`
	DrainDelay       time.Duration  `split_words:"true" default:"0s" desc:"how long a stop goes on serving while /readyz is 503, until load balancers send requests elsewhere; it comes before SHUTDOWN_TIMEOUT begins"`
	ShutdownTimeout  time.Duration  `split_words:"true" default:"8s" desc:"how long the whole stop may take, at least 1s; requests that are not done in half of it are canceled and answered 503"`
}

// Check refuses what can't work. Its error has a line for each bad value.
func (s Service) Check(prefix string) error {
	var bad []error
	refuse := func(format string) { bad = append(bad, fmt.Errorf(format, prefix)) }
	if s.RequestTimeout <= 0 {
		refuse("%s_REQUEST_TIMEOUT must be a positive duration, as in 10s")
	}
	if s.MaxRequests < 1 {
		refuse("%s_MAX_REQUESTS must be at least 1")
	}
	if s.DrainDelay < 0 {
		refuse("%s_DRAIN_DELAY must be 0 or a positive duration, as in 10s")
	}
	if s.ShutdownTimeout < time.Second {
		refuse("%s_SHUTDOWN_TIMEOUT must be at least 1s")
	}
	for _, p := range s.TrustedProxies {
		if p.Bits() == 0 && s.Env == Production {
			refuse("%s_TRUSTED_PROXIES must not trust every address in production: name your proxies' networks")
		}
	}
	return errors.Join(bad...)
}

// Logger makes the service's logger, whose lines have its level and format and name
// the replica.
func (s Service) Logger(w io.Writer) *slog.Logger {
	instance := s.Instance
	if instance == "" {
		instance, _ = os.Hostname() // without a name, the lines have an empty one
	}
	return obs.NewLogger(w, s.LogLevel, s.LogFormat).With("instance", instance)
}

// StopTimeout is the part of ShutdownTimeout in which requests and jobs end.
func (s Service) StopTimeout() time.Duration { return s.ShutdownTimeout - s.CloseTimeout() }

// CloseTimeout is the part of ShutdownTimeout that is for closing the database's
// connections at last.
func (s Service) CloseTimeout() time.Duration { return s.ShutdownTimeout / 4 }

// IsOrigin reports whether text is an origin as browsers send it (RFC 6454,
// section 6.2): http or https, a host, and a port unless it is the scheme's own.
func IsOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" && u.Port() != "80" || u.Scheme == "https" && u.Port() != "443") &&
		u.Hostname() != "" && !strings.ContainsAny(u.Host, "*,") && text == strings.ToLower(u.Scheme+"://"+u.Host)
}

// IsThisHost reports whether host, a name or an address, is the machine itself.
func IsThisHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
