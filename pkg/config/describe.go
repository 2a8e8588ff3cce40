package config

import (
	"encoding"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// known describes the types whose name says too little.
var known = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():  "a duration such as 500ms, 30s or 1h",
	reflect.TypeFor[Secret]():         "a secret",
	reflect.TypeFor[Switch]():         "on or off",
	reflect.TypeFor[Size]():           "a size such as 25MiB",
	reflect.TypeFor[RateLimit]():      "requests a minute and at once such as 3000+1000, or off",
	reflect.TypeFor[slog.Level]():     "a level: debug, info, warn or error",
	reflect.TypeFor[netip.Prefix]():   "a network such as 10.0.0.0/8",
	reflect.TypeFor[netip.Addr]():     "an IP address",
	reflect.TypeFor[OptionalAddr]():   "host:port, or off",
	reflect.TypeFor[netip.AddrPort](): "an IP address and port such as 127.0.0.1:80",
}

// describe returns in words which values a type accepts, and whether the type
// decodes itself.
func describe(t reflect.Type) (words string, decodes bool) {
	decodes = decodesItself(t)
	if words, ok := known[t]; ok {
		return words, decodes
	}
	if decodes {
		return strings.ToLower(t.Name()), true
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false", false
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number", false
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0", false
	case reflect.Float32, reflect.Float64:
		return "a number", false
	case reflect.Slice:
		element, _ := describe(t.Elem())
		return "a comma-separated list, each " + element, false
	case reflect.String:
		return "text", false
	}
	return t.String(), false
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[envconfig.Decoder]()) ||
		p.Implements(reflect.TypeFor[envconfig.Setter]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
