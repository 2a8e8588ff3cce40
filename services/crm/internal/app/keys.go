package app

import (
	"fmt"
	"log/slog"
	"time"

	"fixdesk/pkg/jwtauth"
)

// keySource is the source of the signing keys: a file that may change while the
// service runs, or keys generated for this process.
type keySource struct {
	set    func() *jwtauth.KeySet
	source jwtauth.Source
}

func openKeys(c Config, now func() time.Time, log *slog.Logger) (keySource, error) {
	if c.KeysFile == "" {
		log.Warn("signing keys are generated for this process; set CRM_KEYS_FILE to keep sessions over a restart")
		return freshKeys(c, now, log)
	}
	file, err := jwtauth.OpenKeyFile(c.KeysFile, now, log)
	if err != nil {
		return keySource{}, fmt.Errorf("CRM_KEYS_FILE: %w (make one with 'crm keys rotate --file %s')", err, c.KeysFile)
	}
	return keySource{set: file.Keys, source: file}, nil
}

// freshKeys generates keys for this process.
func freshKeys(Config, func() time.Time, *slog.Logger) (keySource, error) {
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		return keySource{}, err
	}
	return keySource{set: func() *jwtauth.KeySet { return keys }, source: keys}, nil
}
