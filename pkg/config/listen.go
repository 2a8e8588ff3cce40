package config

import (
	"errors"
	"fmt"
	"net"
)

// CheckAddr refuses what is no address to listen on or to connect to, host:port. A
// listener may leave out the host.
func CheckAddr(variable, value string) error {
	if !isAddr(value) {
		return fmt.Errorf("%s must be host:port, as in 127.0.0.1:8080", variable)
	}
	return nil
}

func isAddr(value string) bool {
	_, port, err := net.SplitHostPort(value)
	return err == nil && port != ""
}

// OptionalAddr is an address to listen on, host:port. It is empty when it is
// configured as "off" or as nothing: then nothing listens.
type OptionalAddr string

// Decode reads host:port, off, or nothing; envconfig calls it.
func (a *OptionalAddr) Decode(value string) error {
	if value == "" || value == "off" {
		*a = ""
		return nil
	}
	if !isAddr(value) {
		return errors.New("want host:port, or off")
	}
	*a = OptionalAddr(value)
	return nil
}
