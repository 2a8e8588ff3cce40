package config_test

import (
	"strings"
	"testing"

	"fixdesk/pkg/config"
)

func TestIsOrigin(t *testing.T) {
	for text, want := range map[string]bool{
		"https://desk.example.com": true, "http://localhost:3000": true, "http://[::1]:3000": true, "https://xn--bcher-kva.example": true,
		"desk": false, "": false, "*": false, "null": false, "https://": false, "https://*.example.com": false, "desk.example.com": false,
		"https://desk.example.com/": false, "https://desk.example.com/a": false, "https://desk.example.com?a": false, "https://desk.example.com#a": false,
		"https://Desk.example.com": false, "HTTPS://desk.example.com": false, "https://desk.example.com:443": false, "http://desk.example.com:80": false,
		"https://joe@desk.example.com": false, "ftp://desk.example.com": false, "https://a b": false, " https://desk.example.com": false,
	} {
		if config.IsOrigin(text) != want {
			t.Errorf("IsOrigin(%q) is %t", text, !want)
		}
	}
}

func TestIsThisHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "crm.localhost": true,
		"": false, "0.0.0.0": false, "crm": false, "localhost.example.com": false, "10.0.0.1": false,
	} {
		if config.IsThisHost(host) != want {
			t.Errorf("IsThisHost(%q) is %t", host, !want)
		}
	}
}

func TestRateLimitIsRequestsAMinuteAndAtOnce(t *testing.T) {
	for text, want := range map[string]config.RateLimit{
		"3000+1000": {PerMinute: 3000, Burst: 1000}, "1+1": {PerMinute: 1, Burst: 1}, "off": {},
	} {
		var r config.RateLimit
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "3000", "0+1", "1+0", "-1+5", "1+1+1", "1000000001+1", "canary+1"} {
		if err := new(config.RateLimit).UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
