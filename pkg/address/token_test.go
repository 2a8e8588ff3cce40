package address

import (
	"testing"

	"github.com/google/uuid"
)

func TestTokenDependsOnSecretPurposeAndID(t *testing.T) {
	id := uuid.MustParse("01a22ccd-256c-7584-a60f-948b2cb43b2d")
	token := Token([]byte("secret"), "reply", id)
	if len(token) != TokenLength || token != Token([]byte("secret"), "reply", id) {
		t.Errorf("%q", token)
	}
	for _, other := range []string{
		Token([]byte("Secret"), "reply", id), Token([]byte("secret"), "bounce", id), Token([]byte("secret"), "reply", uuid.Nil),
	} {
		if other == token {
			t.Errorf("%q is the same", other)
		}
	}
}
