package address

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"

	"github.com/google/uuid"
)

// TokenLength is the length of a Token in octets.
const TokenLength = 16

// tokenEncoding has one case, since servers may change the case of a local part.
var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token is for the local part of an address that only the service can make: 80 bits
// of the HMAC-SHA256 (RFC 2104) of the purpose and the id, in base32 in lower case.
// Compare tokens with hmac.Equal.
func Token(secret []byte, purpose string, id uuid.UUID) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose + "\x00"))
	mac.Write(id[:])
	return tokenEncoding.EncodeToString(mac.Sum(nil)[:TokenLength*5/8])
}
