package identity

import (
	"strings"
	"testing"
)

func TestCustomersAreApprovedAtOnceAndOthersArePending(t *testing.T) {
	for role, want := range map[Role]Status{RoleCustomer: StatusApproved, RoleEngineer: StatusPending, RoleAdmin: StatusPending} {
		if got := initialStatus(role); got != want {
			t.Errorf("a new %s is %s, want %s", role, got, want)
		}
	}
}

func TestStatusChangesFollowTheTable(t *testing.T) {
	all := []Status{StatusPending, StatusApproved, StatusRejected, StatusSuspended}
	allowed := map[[2]Status]bool{
		{StatusPending, StatusApproved}: true, {StatusPending, StatusRejected}: true,
		{StatusApproved, StatusSuspended}: true, {StatusApproved, StatusRejected}: true,
		{StatusRejected, StatusApproved}:  true,
		{StatusSuspended, StatusApproved}: true, {StatusSuspended, StatusRejected}: true,
	}
	for _, from := range all {
		for _, to := range all {
			u, err := User{Status: from}.apply(Change{Status: &to})
			if ok := allowed[[2]Status{from, to}] || from == to; ok != (err == nil) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if err == nil && u.Status != to {
				t.Errorf("%s to %s gave %s", from, to, u.Status)
			}
			if err != nil && !strings.Contains(err.Error(), string(transitions[from][0])) {
				t.Errorf("%q doesn't say which steps are possible", err)
			}
		}
	}
}

func TestMisleadingNamesAreRefused(t *testing.T) {
	for name, want := range map[string]string{
		"Ada Lovelace": "Ada Lovelace", "  Ada\t": "Ada", "张伟": "张伟", "O'Brien, \"Bob\"": "O'Brien, \"Bob\"", "Bob <b@x>": "", "evil.example/win": "", "\u200b\u2060": "",
		strings.Repeat("é", 200): strings.Repeat("é", 200),
		"":                       "", "   ": "", "a\r\nBcc: b@x.test": "", "a\nb": "", "a\x00b": "", "a\u2028b": "",
		"a\u202egnp.exe": "", "a\ufeffb": "", "a\xffb": "", "a\u0085b": "", strings.Repeat("é", 201): "",
	} {
		got, err := cleanName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("cleanName(%q) = %q, %v", name, got, err)
		}
	}
}

func TestPasswordsMustBeLongAndNotCommon(t *testing.T) {
	for password, want := range map[string]error{
		goodPassword: nil, "correct horse battery staple": nil, "пароль-от-сарая": nil, strings.Repeat("ab", 64): nil,
		"zv8 kQ2!":               nil,
		"short":                  errPasswordLength,
		"1234567":                errPasswordLength,
		strings.Repeat("ab", 65): errPasswordLength,
		"bad\xffbytes here":      errPasswordLength,
		"tab\there and there":    errPasswordControl,
		"password":               errPasswordCommon, "PassWord1": errPasswordCommon, "12345678": errPasswordCommon,
		"qwertyuiop": errPasswordCommon, "Iloveyou1": errPasswordCommon, "aaaaaaaaaaaa": errPasswordCommon,
		"ada@fixdesk.test": errPasswordOwn, "ADA LOVELACE": errPasswordOwn,
	} {
		if got := checkPassword(password, "Ada Lovelace", "ada@fixdesk.test"); got != want {
			t.Errorf("checkPassword(%q) = %v, want %v", password, got, want)
		}
	}
}

func TestListOfCommonPasswordsIsCleanAndLong(t *testing.T) {
	if n := len(commonPasswords()); n < 3000 {
		t.Errorf("only %d common passwords", n)
	}
	for p := range commonPasswords() {
		if p != fold(p) || len([]rune(p)) < minPasswordLength {
			t.Errorf("%q can never match", p)
		}
	}
}

func FuzzNamesAreOneLine(f *testing.F) {
	f.Add("Ada")
	f.Add("a\r\nBcc: x@y.test")
	f.Fuzz(func(t *testing.T, s string) {
		name, err := cleanName(s)
		if err == nil && (strings.ContainsAny(name, "\r\n\x00") || name == "") {
			t.Errorf("%q became %q", s, name)
		}
	})
}
