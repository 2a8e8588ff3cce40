package inbound

import (
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
)

var (
	testAddresses = NewAddresses("support@fixdesk.test", []byte("a secret of the tests, long enough"))
	testTicket    = uuid.MustParse("019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42")
)

func TestReplyAddressOfEachAudienceIsRecognised(t *testing.T) {
	seen := map[string]bool{}
	for _, audience := range audiences {
		addr := testAddresses.ReplyTo(testTicket, 42, audience)
		if !strings.HasPrefix(addr, "support+42.") || !strings.HasSuffix(addr, "@fixdesk.test") || seen[addr] {
			t.Errorf("address for %s: %s", audience, addr)
		}
		seen[addr] = true
		for _, spelt := range []string{addr, strings.ToUpper(addr), "SuPPort" + addr[len("support"):]} {
			r, ok := testAddresses.parse(spelt)
			got, valid := testAddresses.audience(r, testTicket)
			if !ok || r.number != 42 || !valid || got != audience {
				t.Errorf("%s is %+v, %v, for %q, %v", spelt, r, ok, got, valid)
			}
		}
		r, _ := testAddresses.parse(addr)
		if _, ok := testAddresses.audience(r, uuid.New()); ok {
			t.Errorf("%s is valid for another ticket", addr)
		}
		if _, ok := NewAddresses("support@fixdesk.test", []byte("another secret")).audience(r, testTicket); ok {
			t.Errorf("%s is valid with another secret", addr)
		}
	}
}

func TestOtherAddressesAreNoReplyAddresses(t *testing.T) {
	token := strings.TrimSuffix(strings.TrimPrefix(testAddresses.ReplyTo(testTicket, 42, ToReporter), "support+42."), "@fixdesk.test")
	for _, addr := range []string{
		"", "@", "support", "support@fixdesk.test", "support+42@fixdesk.test", "support+42.@fixdesk.test",
		"support+." + token + "@fixdesk.test", "support+042." + token + "@fixdesk.test", "support+0." + token + "@fixdesk.test",
		"support+-1." + token + "@fixdesk.test", "support+x." + token + "@fixdesk.test", "support+92233720368547758070." + token + "@fixdesk.test",
		"support+42." + token + "a@fixdesk.test", "support+42." + token + "@other.test", "sales+42." + token + "@fixdesk.test",
		"support+42." + token + "@fixdesk.test, x@y.test", "<support+42." + token + "@fixdesk.test>", "support+42.tökentökentöke@fixdesk.test",
	} {
		if r, ok := testAddresses.parse(addr); ok {
			t.Errorf("%q is taken for ticket %d", addr, r.number)
		}
	}
	if r, ok := testAddresses.parse("support+42.aaaaaaaaaaaaaaaa@fixdesk.test"); !ok {
		t.Error("the shape of a reply address is not recognised")
	} else if _, ok := testAddresses.audience(r, testTicket); ok {
		t.Error("an invented token is valid")
	}
}

func TestAddressesOfTheSupportMailboxAreOurs(t *testing.T) {
	for addr, want := range map[string]bool{
		"support@fixdesk.test": true, "SUPPORT@FixDesk.Test": true, "support+anything@fixdesk.test": true,
		"supporter@fixdesk.test": false, "support@fixdesk.test.evil.test": false, "support@other.test": false, "": false,
	} {
		if got := testAddresses.ours(addr); got != want {
			t.Errorf("%q is ours: %v", addr, got)
		}
	}
}

func TestWithoutASupportAddressNothingIsOurs(t *testing.T) {
	none := NewAddresses("", nil)
	if none.Set() || none.Support() != "" || none.ReplyTo(testTicket, 42, ToReporter) != "" || none.ours("@") || none.ours("support@fixdesk.test") {
		t.Error("there are addresses")
	}
}

func TestLongestReplyAddressIsAnAddress(t *testing.T) {
	a := NewAddresses(strings.Repeat("s", MaxSupportLocal)+"@fixdesk.test", []byte("secret"))
	addr := a.ReplyTo(testTicket, math.MaxInt64, ToInternal)
	if canonical, err := address.Parse(addr); err != nil || canonical != addr {
		t.Errorf("%s: %v", addr, err)
	}
}

func FuzzReplyAddress(f *testing.F) {
	f.Add("support+42.aaaaaaaaaaaaaaaa@fixdesk.test")
	f.Add(testAddresses.ReplyTo(testTicket, 42, ToStaff))
	f.Fuzz(func(t *testing.T, addr string) {
		r, ok := testAddresses.parse(addr)
		if !ok {
			return
		}
		audience, valid := testAddresses.audience(r, testTicket)
		if valid && !strings.EqualFold(testAddresses.ReplyTo(testTicket, 0, audience)[len("support+0."):], addr[strings.Index(addr, ".")+1:]) {
			t.Errorf("%q is valid for %s", addr, audience)
		}
	})
}
