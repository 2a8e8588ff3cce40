package config

import "fmt"

// Migrations are the settings of how the database's schema is changed, and of what is in
// front of the database; embed them in a service's own.
type Migrations struct {
	Migrate            Switch `default:"on" desc:"off: the start does not change the schema, and waits until the command migrate has brought it to this version"`
	MigrateDatabaseURL Secret `split_words:"true" desc:"the database's address for migrations alone, with a role that may change the schema and past a pooler; unset, that of DATABASE_URL"`
	DatabasePooler     string `split_words:"true" default:"none" desc:"transaction: DATABASE_URL leads to PgBouncer in transaction mode; none: to PostgreSQL or a pooler that keeps sessions"`
}

// Pooled reports whether the service reaches its database by a pooler in transaction
// mode.
func (m Migrations) Pooled() bool { return m.DatabasePooler == "transaction" }

// Check refuses what can't work.
func (m Migrations) Check(prefix string) error {
	switch {
	case m.DatabasePooler != "none" && m.DatabasePooler != "transaction":
		return fmt.Errorf("%s_DATABASE_POOLER must be none or transaction", prefix)
	case m.Pooled() && m.Migrate.On() && !m.MigrateDatabaseURL.IsSet():
		return fmt.Errorf("%[1]s_DATABASE_POOLER=transaction needs %[1]s_MIGRATE_DATABASE_URL, an address past the pooler, or %[1]s_MIGRATE=off: "+
			"the lock of a migration belongs to a session", prefix)
	}
	return nil
}

// URL returns the address for migrations, that of a service if none is set.
func (m Migrations) URL(service Secret) Secret {
	if m.MigrateDatabaseURL.IsSet() {
		return m.MigrateDatabaseURL
	}
	return service
}
