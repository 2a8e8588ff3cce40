package notifyapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// SuppressionSource is why an address is on the suppression list.
type SuppressionSource string

// The sources of suppressions.
const (
	SourceBounce    SuppressionSource = "bounce"    // a delivery report said that mails to it fail for good
	SourceComplaint SuppressionSource = "complaint" // its owner called a mail unwanted
	SourceManual    SuppressionSource = "manual"    // a client of the API added it
)

// SuppressionRequest puts an address on the suppression list.
type SuppressionRequest struct {
	Email  string `json:"email" minLength:"3" maxLength:"1016" doc:"The address, in any spelling."`
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why, in the words of who adds it: one line."`
}

// Suppression is an address that is mailed no more.
type Suppression struct {
	Email     string            `json:"email" doc:"The address in its canonical form: lower case, the domain in ASCII."`
	Source    SuppressionSource `json:"source"`
	Reason    string            `json:"reason" doc:"What the delivery report or the complaint said, or who added the address."`
	CreatedAt time.Time         `json:"created_at"`
}

// Suppressions returns a page of the suppression list, newest first; q "" means
// all addresses, limit 0 means 20.
func (c *Client) Suppressions(ctx context.Context, q string, limit int, cursor string) (Page[Suppression], error) {
	values := url.Values{}
	if q != "" {
		values.Set("q", q)
	}
	setPage(values, limit, cursor)
	var page Page[Suppression]
	err := c.call(ctx, http.MethodGet, withQuery("/v1/suppressions", values), "", nil, &page)
	return page, err
}

// Suppression returns the entry of an address; without one the *Error has status
// 404.
func (c *Client) Suppression(ctx context.Context, email string) (Suppression, error) {
	var s Suppression
	err := c.call(ctx, http.MethodGet, "/v1/suppressions/"+url.PathEscape(email), "", nil, &s)
	return s, err
}

// Suppress puts an address on the list, and returns its entry: the first one when
// it has one already.
func (c *Client) Suppress(ctx context.Context, r SuppressionRequest) (Suppression, error) {
	var s Suppression
	body, err := json.Marshal(r)
	if err != nil {
		return s, fmt.Errorf("suppress: %w", err)
	}
	err = c.call(ctx, http.MethodPost, "/v1/suppressions", "", body, &s)
	return s, err
}

// Unsuppress takes an address from the list, if it is there.
func (c *Client) Unsuppress(ctx context.Context, email string) error {
	return c.call(ctx, http.MethodDelete, "/v1/suppressions/"+url.PathEscape(email), "", nil, nil)
}

// Reports returns the delivery reports about one recipient's mail, newest first.
func (c *Client) Reports(ctx context.Context, id, recipient uuid.UUID, limit int, cursor string) (Page[DeliveryReport], error) {
	values := url.Values{}
	setPage(values, limit, cursor)
	var page Page[DeliveryReport]
	path := "/v1/notifications/" + id.String() + "/recipients/" + recipient.String() + "/reports"
	err := c.call(ctx, http.MethodGet, withQuery(path, values), "", nil, &page)
	return page, err
}
