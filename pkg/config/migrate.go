package config

// Migrations are the settings of how the database's schema is changed; embed them in
// a service's own.
type Migrations struct {
	Migrate            Switch `default:"on" desc:"off: the start does not change the schema, and waits until the command migrate has brought it to this version"`
	MigrateDatabaseURL Secret `split_words:"true" desc:"the database's address for migrations alone, with a role that may change the schema and past a pooler; unset, that of DATABASE_URL"`
}

// URL returns the address for migrations, that of a service if none is set.
func (m Migrations) URL(service Secret) Secret {
	if m.MigrateDatabaseURL.IsSet() {
		return m.MigrateDatabaseURL
	}
	return service
}
