package pg

import "testing"

func TestAddressOfADatabaseThatCanNotBeReadIsRefusedByNameAlone(t *testing.T) {
	for url, want := range map[string]string{
		"": "", "postgres://crm:canary@db:5432/crm": "", "host=db user=crm password=canary": "",
		"mysql://crm:canary@db/crm":                                             "V must be a database's address such as postgres://user:password@host:5432/name",
		"postgres://crm:canary@db:port/crm":                                     "V must be a database's address such as postgres://user:password@host:5432/name",
		"postgres://crm:canary@db/crm?sslmode=verify-full&sslrootcert=/missing": "V names a file that can't be read: open /missing: no such file or directory",
	} {
		got := ""
		if err := CheckURL("V", url); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
