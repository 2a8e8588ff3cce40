package email

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
)

func TestBounceAddressLeadsBackToItsRecipientAlone(t *testing.T) {
	b := &BounceAddresses{Domain: "bounces.example.com", Secret: "a secret of the test, long enough"}
	id := uuid.MustParse("019bb1a3-3b28-7d53-8b4f-7c8d9e0f1a22")
	made := b.For(id)
	if made != b.For(id) {
		t.Error("the address of one recipient changes")
	}
	if _, err := address.Parse(made); err != nil || !strings.HasPrefix(made, "bounce+"+id.String()+".") {
		t.Errorf("%s: %v", made, err)
	}
	for _, spelling := range []string{made, strings.ToUpper(made)} {
		if got, ok := b.Recipient(spelling); !ok || got != id {
			t.Errorf("%s: %s, %t", spelling, got, ok)
		}
	}
	other := uuid.MustParse("019bb1a3-3b28-7d54-9c5a-8d9e0f1a2b33")
	_, token, _ := strings.Cut(made, ".")
	for name, forged := range map[string]string{
		"another's token":  "bounce+" + other.String() + "." + token,
		"no token":         "bounce+" + id.String() + "@bounces.example.com",
		"an empty token":   "bounce+" + id.String() + ".@bounces.example.com",
		"a longer token":   strings.Replace(made, "@", "a@", 1),
		"another secret":   (&BounceAddresses{Domain: b.Domain, Secret: "another"}).For(id),
		"another domain":   (&BounceAddresses{Domain: "example.org", Secret: b.Secret}).For(id),
		"no id":            "bounce+." + token,
		"an id in braces":  "bounce+{" + id.String() + "}." + token,
		"nothing":          "",
		"the prefix alone": "bounce+@bounces.example.com",
	} {
		if got, ok := b.Recipient(forged); ok {
			t.Errorf("%s: %s was taken for %s", name, forged, got)
		}
	}
}

func TestWithoutABounceDomainNoAddressIsABounceAddress(t *testing.T) {
	for _, a := range []string{"bounce+x.y@", "bounce+x.y@example.com", ""} {
		if (*BounceAddresses)(nil).Has(a) {
			t.Errorf("%q is one", a)
		}
	}
}
