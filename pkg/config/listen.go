package config

import (
	"errors"
	"net"
)

// OptionalAddr is an address to listen on, host:port. It is empty when it is
// configured as "off" or as nothing: then nothing listens.
type OptionalAddr string

// Decode reads host:port, off, or nothing; envconfig calls it.
func (a *OptionalAddr) Decode(value string) error {
	if value == "" || value == "off" {
		*a = ""
		return nil
	}
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		return errors.New("want host:port, or off")
	}
	*a = OptionalAddr(value)
	return nil
}
