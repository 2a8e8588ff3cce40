package jwtauth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// KeySet holds the keys of an issuer: the current one signs, the next one is
// published before it signs, the previous one still verifies what it signed.
// A KeySet never changes; Rotate makes another.
type KeySet struct{ next, current, previous *signingKey }

type signingKey struct {
	id      string // RFC 7638 thumbprint
	private ed25519.PrivateKey
}

func (k *signingKey) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// NewKeySet makes a set with a fresh next and current key.
func NewKeySet() (*KeySet, error) {
	current, err := newKey()
	if err != nil {
		return nil, err
	}
	return (&KeySet{current: current}).withNext()
}

// Rotate makes the set in which next signs, current is previous, and a fresh
// key is next. Tokens that the old previous key signed are refused from then
// on: between two rotations there must be the longest life of a token, and the
// time that verifiers take to fetch the next key.
func (s *KeySet) Rotate() (*KeySet, error) {
	return (&KeySet{current: s.next, previous: s.current}).withNext()
}

func (s *KeySet) withNext() (*KeySet, error) {
	next, err := newKey()
	if err != nil {
		return nil, err
	}
	s.next = next
	return s, nil
}

func newKey() (*signingKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	k := &signingKey{private: private}
	k.id = thumbprint(k.public())
	return k, nil
}

// thumbprint is the key's id (RFC 7638, section 3, with the members that RFC
// 8037 requires), always 43 characters of base64url.
func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encoding.EncodeToString(public)))
	return encoding.EncodeToString(sum[:])
}

var encoding = base64.RawURLEncoding.Strict()

func (s *KeySet) all() []*signingKey {
	var keys []*signingKey
	for _, k := range []*signingKey{s.next, s.current, s.previous} {
		if k != nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// jwk is a key in JSON (RFC 7517, RFC 8037). D is the private part.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	D         string `json:"d,omitempty"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg,omitempty"`
	Use       string `json:"use,omitempty"`
}

func (k *signingKey) jwk() jwk {
	return jwk{
		KeyType: "OKP", Curve: "Ed25519", X: encoding.EncodeToString(k.public()),
		ID: k.id, Algorithm: algorithm, Use: "sig",
	}
}

// publicKey reads the public part, and checks that the id is the thumbprint.
func (j jwk) publicKey() (ed25519.PublicKey, error) {
	x, err := encoding.DecodeString(j.X)
	switch {
	case j.KeyType != "OKP" || j.Curve != "Ed25519" || j.Algorithm != "" && j.Algorithm != algorithm || j.Use != "" && j.Use != "sig":
		return nil, errors.New("not an Ed25519 signing key")
	case err != nil || len(x) != ed25519.PublicKeySize:
		return nil, errors.New("x is not 32 octets of base64url")
	case j.ID != thumbprint(x):
		return nil, errors.New("kid is not the key's thumbprint")
	}
	return x, nil
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517, section 5).
func (s *KeySet) JWKS() ([]byte, error) {
	var set jwks
	for _, k := range s.all() {
		set.Keys = append(set.Keys, k.jwk())
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("write the JWKS: %w", err)
	}
	return data, nil
}

// keySetFile is the file's content: private JWKs by their role.
type keySetFile struct {
	Next     *jwk `json:"next"`
	Current  *jwk `json:"current"`
	Previous *jwk `json:"previous,omitempty"`
}

// LoadKeySet reads a file that Save wrote. Its errors never hold key material;
// errors.Is(err, fs.ErrNotExist) when there is none.
func LoadKeySet(path string) (*KeySet, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	var file keySetFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&file) != nil || file.Next == nil || file.Current == nil {
		return nil, fmt.Errorf("read the signing keys: %s is not a key file with next and current", path)
	}
	var s KeySet
	for _, role := range []struct {
		name string
		from *jwk
		to   **signingKey
	}{{"next", file.Next, &s.next}, {"current", file.Current, &s.current}, {"previous", file.Previous, &s.previous}} {
		if role.from == nil {
			continue
		}
		if *role.to, err = role.from.signingKey(); err != nil {
			return nil, fmt.Errorf("read the signing keys: %s in %s: %w", role.name, path, err)
		}
	}
	return &s, nil
}

func (j jwk) signingKey() (*signingKey, error) {
	public, err := j.publicKey()
	if err != nil {
		return nil, err
	}
	seed, err := encoding.DecodeString(j.D)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("d is not 32 octets of base64url")
	}
	k := &signingKey{id: j.ID, private: ed25519.NewKeyFromSeed(seed)}
	if !k.public().Equal(public) {
		return nil, errors.New("d and x are not of one key")
	}
	return k, nil
}

// Save writes the private keys to path, readable by the owner alone. A reader at
// the same time, or after a crash, gets the old or the new file.
func (s *KeySet) Save(path string) error {
	file := keySetFile{Next: s.next.withPrivate(), Current: s.current.withPrivate(), Previous: s.previous.withPrivate()}
	data, err := json.MarshalIndent(file, "", "  ")
	if err == nil {
		err = writeAtomically(path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save the signing keys: %w", err)
	}
	return nil
}

func (k *signingKey) withPrivate() *jwk {
	if k == nil {
		return nil
	}
	j := k.jwk()
	j.D = encoding.EncodeToString(k.private.Seed())
	return &j
}

// writeAtomically writes a temporary file (which os.CreateTemp makes 0600) and
// renames it, and syncs both.
func writeAtomically(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".keys-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already after the rename
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
