package notifyapi

import (
	"net"
	"net/url"
	"strings"
)

// IsUnsubscribeURL reports whether an address may be the target of
// List-Unsubscribe: absolute, with https, or with http on this host, which is for
// development; visible ASCII without what ends the address in the header (RFC 2369
// section 2), and without user and fragment.
func IsUnsubscribeURL(address string) bool {
	unsafe := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`<>,"\^`+"`{|}", c) }
	if strings.ContainsFunc(address, unsafe) || strings.Contains(address, "#") {
		return false
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}
