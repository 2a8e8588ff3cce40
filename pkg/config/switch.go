package config

import "errors"

// Switch is a setting that is on unless it is off.
type Switch struct{ off bool }

// Off is a switch that is off.
var Off = Switch{off: true}

// On reports whether it is on.
func (s Switch) On() bool { return !s.off }

// UnmarshalText reads on or off.
func (s *Switch) UnmarshalText(text []byte) error {
	switch string(text) {
	case "on":
		s.off = false
	case "off":
		s.off = true
	default:
		return errors.New("want on or off")
	}
	return nil
}
