package identity

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestOnlyTheHolderOfTheSpentTokenReadsItsSuccessor(t *testing.T) {
	spent, next, other := newSecret(), newSecret(), newSecret()
	sealed, err := spent.seal(next)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := spent.open(sealed); err != nil || got != next {
		t.Errorf("the holder reads %v, %v", got == next, err)
	}
	if _, err := other.open(sealed); err == nil {
		t.Error("another token opens it")
	}
	if _, err := secret(spent.hash()).open(sealed); err == nil {
		t.Error("what the database knows opens it")
	}
	if bytes.Contains(sealed, next[:]) {
		t.Error("the successor is not encrypted")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := spent.open(sealed); err == nil {
		t.Error("a changed seal is accepted")
	}
}

func TestTokensAreNotPrinted(t *testing.T) {
	s := newSecret()
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), fmt.Sprint(struct{ S secret }{s})} {
		if strings.Contains(text, s.text()) || strings.Contains(text, fmt.Sprint([32]byte(s))) {
			t.Errorf("printed: %s", text)
		}
	}
}

func FuzzTokenHasOneEncoding(f *testing.F) {
	s := newSecret()
	f.Add(s.text())
	f.Add("")
	f.Add(s.text() + "=")
	f.Add(strings.Replace(s.text(), s.text()[42:], "B", 1))
	f.Add(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)))
	f.Add(s.text()[:42] + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSecret(text)
		if err == nil && s.text() != text {
			t.Errorf("%q is another spelling of %q", text, s.text())
		}
	})
}
