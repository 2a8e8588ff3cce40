package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// fileSuffix makes the name of the variable that names a file with a secret.
const fileSuffix = "_FILE"

// maxSecret bounds the size of such a file in bytes.
const maxSecret = 64 << 10

// readSecrets puts the secrets that are in files into the environment for the time
// of Load. A secret is in its variable, or in the file that the variable with
// _FILE at its end names.
func readSecrets(vars []variable, changed environment) error {
	var bad []error
	for _, v := range vars {
		name := v.Key + fileSuffix
		path, ok := os.LookupEnv(name)
		if !v.secret || !ok {
			continue
		}
		if _, both := os.LookupEnv(v.Key); both {
			bad = append(bad, fmt.Errorf("%s and %s must not both be set", v.Key, name))
			continue
		}
		value, err := readSecret(path)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s must name a file with the secret: %w", name, err))
			continue
		}
		changed.set(v.Key, value)
	}
	return errors.Join(bad...)
}

// readSecret returns what the file holds, without the newline at its end. Its error
// has no path.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case err != nil:
		return "", withoutPath(err)
	case len(b) > maxSecret:
		return "", fmt.Errorf("it is larger than %d KiB", maxSecret>>10)
	case value == "":
		return "", errors.New("it is empty")
	case strings.ContainsRune(value, 0):
		return "", errors.New("it holds a NUL character")
	}
	return value, nil
}

func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
