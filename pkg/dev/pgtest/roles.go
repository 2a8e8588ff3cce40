package pgtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// rolePassword is for servers that ask for one.
const rolePassword = "test"

// NewRoles returns the URLs of an empty database for its owner, who is no superuser,
// and for the role that grants, a script run by the owner, makes: with the owner's
// name and the suffix _serving. All of them are removed when the test ends.
func NewRoles(t testing.TB, grants string) (owner, serving string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	maintenance, err := maintenanceURL(ctx)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	name := "test_" + strings.ToLower(rand.Text()[:16])
	execute := func(address string, statements ...string) error {
		return connected(ctx, address, func(conn *pgx.Conn) error {
			for _, statement := range statements {
				if _, err := conn.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	}
	t.Cleanup(func() { dropRoles(t, maintenance, name) })
	role := quote(name)
	if err := execute(maintenance, "create role "+role+" login createrole password '"+rolePassword+"'",
		"create database "+role+" owner "+role, "revoke connect on database "+role+" from public"); err != nil {
		t.Fatal("pgtest: ", err)
	}
	owner, serving = asRole(t, maintenance, name, name), asRole(t, maintenance, name, name+"_serving")
	if err := execute(owner, grants, "alter role "+quote(name+"_serving")+" password '"+rolePassword+"'"); err != nil {
		t.Fatal("pgtest: ", err)
	}
	return owner, serving
}

func dropRoles(t testing.TB, maintenance, name string) {
	drop(t, maintenance, name)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := connected(ctx, maintenance, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop role if exists "+quote(name)+", "+quote(name+"_serving"))
		return err
	})
	if err != nil {
		t.Logf("pgtest: drop the test's roles: %v", err)
	}
}

// asRole returns the URL of a database for a role, with the patience of tests.
func asRole(t testing.TB, maintenance, database, role string) string {
	t.Helper()
	address, err := withDatabase(maintenance, database)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	u, err := url.Parse(patient(t, address))
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	u.User = url.UserPassword(role, rolePassword)
	return u.String()
}
