package jwtauth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
)

func save(t testing.TB, keys *jwtauth.KeySet, path string) {
	t.Helper()
	if err := keys.Save(path); err != nil {
		t.Fatal(err)
	}
}

type keyJSON struct{ Kty, Crv, X, D, Kid, Alg, Use string }

// currentKey reads the key that signs from a saved file.
func currentKey(t testing.TB, keys *jwtauth.KeySet) (string, ed25519.PrivateKey) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	save(t, keys, path)
	var file struct{ Current keyJSON }
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(file.Current.D)
	if err != nil {
		t.Fatal(err)
	}
	return file.Current.Kid, ed25519.NewKeyFromSeed(seed)
}

func TestKeyFileIsPrivateAndReadsBackTheSame(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	keys := newKeys(t)
	for range 2 { // without and with a previous key; the second replaces the first
		save(t, keys, path)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
		loaded, err := jwtauth.LoadKeySet(path)
		if err != nil {
			t.Fatal(err)
		}
		v := jwtauth.NewVerifier(loaded, "crm", "crm", clock)
		if _, err := v.Verify(sign(t, keys, userClaims())); err != nil {
			t.Error(err)
		}
		want, _ := keys.JWKS()
		if got, _ := loaded.JWKS(); string(got) != string(want) {
			t.Errorf("JWKS differ: %s %s", got, want)
		}
		keys = rotate(t, keys)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestJWKSHasAllThreePublicKeysAndNoPrivateOne(t *testing.T) {
	data, err := rotate(t, newKeys(t)).JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []keyJSON }
	if err := json.Unmarshal(data, &set); err != nil || len(set.Keys) != 3 {
		t.Fatalf("%v: %s", err, data)
	}
	for _, k := range set.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" || len(k.X) != 43 || len(k.Kid) != 43 || k.Alg != "EdDSA" || k.Use != "sig" {
			t.Errorf("key = %+v", k)
		}
	}
	if strings.Contains(string(data), `"d"`) {
		t.Error("a private key is published")
	}
}

// The example of RFC 8037, appendix A.3.
func TestKeyIDIsTheThumbprintOfTheRFC(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	key := `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",` +
		`"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}`
	if err := os.WriteFile(path, []byte(`{"next":`+key+`,"current":`+key+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jwtauth.LoadKeySet(path); err != nil {
		t.Error(err)
	}
}

func TestDamagedKeyFileIsRefusedWithoutItsContent(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.json")
	save(t, newKeys(t), good)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]map[string]string
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	damaged := func(role, member, value string) string {
		changed := map[string]map[string]string{}
		for r, k := range file {
			changed[r] = map[string]string{}
			for m, v := range k {
				changed[r][m] = v
			}
		}
		changed[role][member] = value
		out, _ := json.Marshal(changed)
		return string(out)
	}
	secret := file["current"]["d"]
	for name, content := range map[string]string{
		"empty": "", "no JSON": "{", "no keys": "{}", "no current": `{"next":` + damaged("next", "d", "x")[8:20],
		"half": string(data[:len(data)/2]), "kid": damaged("current", "kid", file["next"]["kid"]), "d of another": damaged("current", "d", file["next"]["d"]),
		"short d": damaged("current", "d", secret[:40]), "type": damaged("current", "kty", "RSA"), "curve": damaged("next", "crv", "P-256"),
		"unknown field": damaged("current", "canary", secret),
	} {
		path := filepath.Join(dir, "bad.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := jwtauth.LoadKeySet(path); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := jwtauth.LoadKeySet(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestKeyFileFollowsItsFileAndSurvivesABadOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first := newKeys(t)
	save(t, first, path)
	now := start
	var log strings.Builder
	f, err := jwtauth.OpenKeyFile(path, func() time.Time { return now }, obs.NewLogger(&log, slog.LevelInfo, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	second := rotate(t, first)
	save(t, second, path)
	same := func(want *jwtauth.KeySet) bool {
		a, _ := f.Keys().JWKS()
		b, _ := want.JWKS()
		return string(a) == string(b)
	}
	if !same(first) {
		t.Error("looked at the file again within a second")
	}
	if now = now.Add(time.Second); !same(second) {
		t.Error("the new keys are not used after a second")
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now = now.Add(time.Second); !same(second) || !strings.Contains(log.String(), "not reloaded") {
		t.Errorf("a broken file was taken, or not logged: %s", log.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if now = now.Add(time.Second); !same(second) {
		t.Error("the keys are lost with their file")
	}
	third := rotate(t, second)
	save(t, third, path)
	if now = now.Add(time.Second); !same(third) {
		t.Error("did not recover")
	}
}
