package address_test

import (
	"errors"
	"net/mail"
	"strings"
	"testing"

	"fixdesk/pkg/address"
)

func TestAddressIsStoredInOneForm(t *testing.T) {
	tests := map[string]string{
		"Ann.Lee@Example.COM":                    "ann.lee@example.com",
		"a+b_c-d@sub.example.co.uk":              "a+b_c-d@sub.example.co.uk",
		"o'neil@example.com":                     "o'neil@example.com",
		"JOSÉ@example.com":                       "josé@example.com",
		"jose\u0301@example.com":                 "josé@example.com",
		"用户@例子.测试":                               "用户@xn--fsqu00a.xn--0zwm56d",
		"a@xn--bcher-kva.example":                "a@xn--bcher-kva.example",
		"a@BÜCHER.example":                       "a@xn--bcher-kva.example",
		"a@bu\u0308cher.example":                 "a@xn--bcher-kva.example",
		"a@XN--BCHER-KVA.example":                "a@xn--bcher-kva.example",
		"a@straße.example":                       "a@xn--strae-oqa.example",
		"a@strasse.example":                      "a@strasse.example",
		"a@ｅｘａｍｐｌｅ.com":                          "a@example.com",
		"a@مثال.إختبار":                          "a@xn--mgbh0fb.xn--kgbechtv",
		"a@1and1.com":                            "a@1and1.com",
		strings.Repeat("a", 64) + "@example.com": strings.Repeat("a", 64) + "@example.com",
	}
	for in, want := range tests {
		if got, err := address.Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestAddressRefusesWhatMailSystemsMisread(t *testing.T) {
	long := strings.Repeat("a", 63) + "."
	tests := []string{
		"", "@", "a", "a@", "@b.com", "a@b", "a@localhost", "a@b.", "a@.b.com", "a@b..com", ".a@b.com", "a.@b.com", "a..b@b.com",
		"a@b@c.com", "a b@c.com", " a@b.com", "a@b.com ", "a@b.com,c@d.com", "a@b.com;c@d.com",
		"Ann <a@b.com>", "<a@b.com>", "a@b.com (Ann)", `"a b"@c.com`, `"a"@c.com`, `a\@b@c.com`,
		"a@[127.0.0.1]", "a@127.0.0.1", "a@[IPv6:::1]", "a@1.2", "a@b.123",
		"a@-b.com", "a@b-.com", "a@ab--c.com", "a@b_c.com", "a@xn--zz--.com", "a@xn--a.com", "a@xn--.com", "a@b.com:25", "a@b.com/x", "a@b%c.com",
		"a\r\nBcc: x@y.com@b.com", "a@b.com\r\nRCPT TO:<x@y.com>", "a@b.com\n", "a\x00@b.com", "a@b\x00.com", "a\x7f@b.com",
		"a\u202e@b.com", "a\u200b@b.com", "a@b\u200d.com", "a\u00a0b@c.com", "a\u2028@b.com", "a@b。com", "a\xff@b.com", "a@\u0301b.com",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a", 64) + ".com",
		"a@" + long + long + long + long + "com", "m\u0130ke@example.com", "mi\u212ae@example.com", strings.Repeat("a", 1<<20),
	}
	for _, in := range tests {
		got, err := address.Parse(in)
		if !errors.Is(err, address.ErrInvalid) || got != "" {
			t.Errorf("Parse(%.80q) = %q, %v", in, got, err)
		}
		if err != nil && len(in) > 4 && strings.Contains(err.Error(), in) {
			t.Errorf("the error repeats %q", in)
		}
	}
}

// The standard library accepts addresses that Parse must refuse.
func TestControlStandardParserAcceptsRefusedAddresses(t *testing.T) {
	for _, in := range []string{"Ann <a@b.com>", "a@[127.0.0.1]", "a@localhost", `"a b"@c.com`, "a@127.0.0.1"} {
		if _, err := mail.ParseAddress(in); err != nil {
			t.Errorf("ParseAddress(%q): %v", in, err)
		}
	}
}

func TestUnicodeReturnsTheDomainInUnicode(t *testing.T) {
	for canonical, want := range map[string]string{
		"a@xn--bcher-kva.example": "a@bücher.example", "用户@xn--fsqu00a.xn--0zwm56d": "用户@例子.测试",
		"a@example.com": "a@example.com", "no address": "no address", "a@xn--a.com": "a@xn--a.com",
	} {
		got := address.Unicode(canonical)
		if got != want {
			t.Errorf("Unicode(%q) = %q, want %q", canonical, got, want)
		}
		if again, err := address.Parse(got); err == nil && again != canonical {
			t.Errorf("Parse(%q) = %q, want %q", got, again, canonical)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b.com", "JOSÉ@example.com", "İ@example.com", "a@BÜCHER.example", "a\u0345\u0301@b.co", "ΑΣ@example.gr"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := address.Parse(s)
		if err != nil {
			return
		}
		if again, err := address.Parse(got); err != nil || again != got {
			t.Errorf("Parse(%q) = %q, and Parse of that = %q, %v", s, got, again, err)
		}
		if len(got) > address.MaxLength || strings.ContainsAny(got, "\r\n\x00 <>,;:\"\\()[]") || strings.Count(got, "@") != 1 {
			t.Errorf("Parse(%q) = %q", s, got)
		}
	})
}
