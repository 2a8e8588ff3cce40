package config

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a configured value that must never be seen: a password, a key, a
// URL that holds either. However it is printed, logged or marshalled it comes
// out as "[redacted]"; Reveal gives the value to the one place that needs it.
// The value is behind a pointer, so that fmt can't reach it through an
// unexported field either.
type Secret struct{ value *string }

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal gives the hidden value, "" when none was set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value other than the empty one.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// Decode takes the value from an environment variable, as envconfig does.
func (s *Secret) Decode(value string) error {
	s.value = &value
	return nil
}

// String never gives the value.
func (s Secret) String() string { return redacted }

// Format never gives the value, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText never gives the value; JSON uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue never gives the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
