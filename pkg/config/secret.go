package config

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a configured value that must never be shown: a password, a key, a URL
// that holds either. It is printed, logged and marshalled as "[redacted]"; Reveal
// returns the value.
// The value is behind a pointer, so that fmt can't reach it through an
// unexported field either.
type Secret struct{ value *string }

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the hidden value, "" when none was set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value other than the empty one.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// Decode sets the value; envconfig calls it.
func (s *Secret) Decode(value string) error {
	s.value = &value
	return nil
}

// String never returns the value.
func (s Secret) String() string { return redacted }

// Format never writes the value, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText never returns the value; JSON uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue never returns the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
