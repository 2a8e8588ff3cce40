package config

import "errors"

// Environment is where a service runs.
type Environment string

// Production refuses what is only safe on one's own machine.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// UnmarshalText reads development or production.
func (e *Environment) UnmarshalText(text []byte) error {
	switch v := Environment(text); v {
	case Development, Production:
		*e = v
		return nil
	}
	return errors.New("want development or production")
}
