package pg

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// MayBePlainText reports whether a connection to the database at url may cross a
// network without TLS: with sslmode disable, allow or prefer (the default) to a
// host that is not this machine.
func MayBePlainText(url string) bool {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return false // Open refuses it
	}
	if config.TLSConfig == nil && !local(config.Host) {
		return true
	}
	for _, f := range config.Fallbacks {
		if f.TLSConfig == nil && !local(f.Host) {
			return true
		}
	}
	return false
}

// CheckEncrypted returns an error that names the variable when its URL is set and may
// reach another host without TLS (see MayBePlainText).
func CheckEncrypted(variable, url string) error {
	if url == "" || !MayBePlainText(url) {
		return nil
	}
	return fmt.Errorf("%s must not reach another host without TLS in production: add sslmode=verify-full, verify-ca or require", variable)
}

// CheckURL refuses a database's address that can't be read, or that names a certificate
// that can't. The error does not have the address, since it may have a password. "" is not
// checked.
func CheckURL(variable, url string) error {
	if url == "" {
		return nil
	}
	_, err := pgconn.ParseConfig(url)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s names a file that can't be read: %w", variable, file)
	}
	if err != nil {
		return fmt.Errorf("%s must be a database's address such as postgres://user:password@host:5432/name", variable)
	}
	return nil
}

func local(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasPrefix(host, "/") // a socket's folder
}
