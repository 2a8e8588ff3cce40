package notifyapi

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
)

// ErasureRequest has the mails to an address erased.
type ErasureRequest struct {
	EmailSHA256 string `json:"email_sha256" minLength:"64" maxLength:"64" pattern:"^[0-9a-f]{64}$" doc:"The SHA-256 of the address in its canonical form (lower case, the domain in ASCII), in hexadecimal: who asks for it need not keep the address."`
}

// Erase has the mails erased that are stored for the address with this SHA-256. It can be
// repeated.
func (c *Client) Erase(ctx context.Context, hash []byte) error {
	body, err := json.Marshal(ErasureRequest{EmailSHA256: hex.EncodeToString(hash)})
	if err != nil {
		return fmt.Errorf("marshal an erasure: %w", err)
	}
	return c.call(ctx, http.MethodPost, "/v1/erasures", "", body, nil)
}
