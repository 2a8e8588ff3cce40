package notifyapi_test

import (
	"testing"

	"fixdesk/pkg/notifyapi"
)

func TestIsUnsubscribeURL(t *testing.T) {
	for _, address := range []string{
		"https://desk.example.com/unsubscribe?token=AZyr_-A", "https://desk.example.com:8443/u", "https://[2001:db8::1]/u", "HTTPS://desk.example.com/",
		"http://localhost:8080/unsubscribe?token=x", "http://127.0.0.1:8080/u", "http://[::1]/u",
	} {
		if !notifyapi.IsUnsubscribeURL(address) {
			t.Errorf("%q is refused", address)
		}
	}
	for _, address := range []string{
		"", "https://", "https:///u", "https:u", "//desk.example.com/u", "/unsubscribe", "desk.example.com", "http://desk.example.com/u",
		"http://localhost.example.com/u", "http://127.0.0.1.example.com/", "http://10.0.0.1/u", "ftp://desk.example.com/u", "mailto:a@example.com", "javascript:alert(1)",
		"https://desk.example.com/u>, <mailto:eve@example.com", "https://desk.example.com/\r\nBcc: eve@example.com", "https://desk.example.com/a b",
		"https://desk.example.com/a,b", "https://desk.example.com/ü", "https://bücher.example/", "https://eve@desk.example.com/u", "https://a:b@desk.example.com/",
		"https://desk.example.com/\x00", "https://desk.example.com/\u2028", "https://desk.example.com/u#token", "https://desk.example.com/%zz", " https://desk.example.com/",
	} {
		if notifyapi.IsUnsubscribeURL(address) {
			t.Errorf("%q is accepted", address)
		}
	}
}
