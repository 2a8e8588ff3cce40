package notifyapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/obs"
)

// Client talks to a notification service. It is safe for concurrent use; no
// field may change after the first call.
type Client struct {
	// BaseURL is where the service is, for example http://localhost:8081.
	BaseURL string
	// HTTPClient does the calls; nil means one with a timeout of 10 s.
	HTTPClient *http.Client
	// Token returns the bearer token of each call.
	Token func(ctx context.Context) (string, error)
	// Retries is how many more times a call is tried within itself after a
	// broken connection or a temporary answer. A wait that the service asks
	// for beyond 2 s is left to the caller.
	Retries int
}

// ListParams narrows List; the zero value lists everything.
type ListParams struct {
	Reference     string
	Requester     string
	Status        Status
	CreatedAfter  time.Time
	CreatedBefore time.Time
	// Recipients asks for the first 100 recipients of each notification.
	Recipients bool
	Limit      int // 1 to 100; 0 means 20
	Cursor     string
}

var defaultHTTPClient = &http.Client{Timeout: 10 * time.Second}

// maxAnswer bounds what is read of an answer, in bytes: a page of a hundred
// notifications with a hundred recipients each takes less than 16 MiB.
const maxAnswer = 32 << 20

// maxWait is the longest pause between two tries of one call.
const maxWait = 2 * time.Second

// Create stores a notification, which is sent later. The same key with the same
// request is stored once, however often it is sent, so that a caller may always
// repeat it. An answer other than success is an *Error.
func (c *Client) Create(ctx context.Context, key string, r Request) (Notification, error) {
	var n Notification
	body, err := json.Marshal(r)
	if err != nil {
		return n, fmt.Errorf("create notification: %w", err)
	}
	err = c.call(ctx, http.MethodPost, "/v1/notifications", key, body, &n)
	return n, err
}

// Get returns one notification with its first 100 recipients.
func (c *Client) Get(ctx context.Context, id uuid.UUID) (Notification, error) {
	var n Notification
	err := c.call(ctx, http.MethodGet, "/v1/notifications/"+id.String(), "", nil, &n)
	return n, err
}

// List returns a page of notifications, newest first.
func (c *Client) List(ctx context.Context, p ListParams) (Page[Notification], error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("reference", p.Reference)
	set("requester", p.Requester)
	set("status", string(p.Status))
	if !p.CreatedAfter.IsZero() {
		q.Set("created_after", p.CreatedAfter.UTC().Format(time.RFC3339Nano))
	}
	if !p.CreatedBefore.IsZero() {
		q.Set("created_before", p.CreatedBefore.UTC().Format(time.RFC3339Nano))
	}
	if p.Recipients {
		q.Set("include", "recipients")
	}
	setPage(q, p.Limit, p.Cursor)
	var page Page[Notification]
	err := c.call(ctx, http.MethodGet, withQuery("/v1/notifications", q), "", nil, &page)
	return page, err
}

// Recipients returns a page of a notification's recipients in the order of the
// request; status "" means all, limit 0 means 20.
func (c *Client) Recipients(ctx context.Context, id uuid.UUID, status RecipientStatus, limit int, cursor string) (Page[Recipient], error) {
	q := url.Values{}
	if status != "" {
		q.Set("status", string(status))
	}
	setPage(q, limit, cursor)
	var page Page[Recipient]
	err := c.call(ctx, http.MethodGet, withQuery("/v1/notifications/"+id.String()+"/recipients", q), "", nil, &page)
	return page, err
}

// Attempts returns the tries to mail one recipient, newest first.
func (c *Client) Attempts(ctx context.Context, id, recipient uuid.UUID, limit int, cursor string) (Page[Attempt], error) {
	q := url.Values{}
	setPage(q, limit, cursor)
	var page Page[Attempt]
	path := "/v1/notifications/" + id.String() + "/recipients/" + recipient.String() + "/attempts"
	err := c.call(ctx, http.MethodGet, withQuery(path, q), "", nil, &page)
	return page, err
}

// Cancel stops what is not yet sent. With nothing left to cancel the *Error
// has status 409.
func (c *Client) Cancel(ctx context.Context, id uuid.UUID) (Notification, error) {
	var n Notification
	err := c.call(ctx, http.MethodPost, "/v1/notifications/"+id.String()+"/cancel", "", nil, &n)
	return n, err
}

// Retry queues failed and uncertain recipients again. With none of them, and
// for a sensitive notification, the *Error has status 409.
func (c *Client) Retry(ctx context.Context, id uuid.UUID) (Notification, error) {
	var n Notification
	err := c.call(ctx, http.MethodPost, "/v1/notifications/"+id.String()+"/retry", "", nil, &n)
	return n, err
}

// Stats returns the state of the whole queue.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := c.call(ctx, http.MethodGet, "/v1/stats", "", nil, &s)
	return s, err
}

func setPage(q url.Values, limit int, cursor string) {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// call retries what is idempotent: reads, and writes with a key.
// Cancel and Retry without one are sent once, since the repetition of one that
// was executed is answered 409.
func (c *Client) call(ctx context.Context, method, path, key string, body []byte, out any) error {
	return c.repeat(ctx, method == http.MethodGet || key != "", func() error {
		return c.once(ctx, method, path, key, body, out)
	})
}

func (c *Client) repeat(ctx context.Context, repeatable bool, once func() error) error {
	for attempt := 0; ; attempt++ {
		err := once()
		if err == nil || !repeatable || attempt >= c.Retries || ctx.Err() != nil {
			return err
		}
		wait := time.Duration(rand.Int64N(int64(100*time.Millisecond) << min(attempt, 4)))
		var answer *Error
		if errors.As(err, &answer) {
			if !answer.Temporary() || answer.RetryAfter > maxWait {
				return err
			}
			wait = max(wait, answer.RetryAfter)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

func (c *Client) once(ctx context.Context, method, path, key string, body []byte, out any) error {
	resp, err := c.send(ctx, method, path, key, "application/json", body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return nil
}

// open returns the body of an answer that is not JSON.
func (c *Client) open(ctx context.Context, path string) (content io.ReadCloser, err error) {
	err = c.repeat(ctx, true, func() error {
		resp, err := c.send(ctx, http.MethodGet, path, "", "*/*", nil) //nolint:bodyclose // the caller closes it //nolint:bodyclose // the caller does
		if err == nil {
			content = resp.Body
		}
		return err
	})
	return content, err
}

// send returns an answer of success, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path, key, accept string, body []byte) (*http.Response, error) {
	operation := method + " " + path
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.BaseURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	token, err := c.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: token: %w", operation, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if id := obs.RequestID(ctx); id != "" {
		req.Header.Set("X-Request-ID", id)
	}
	client := c.HTTPClient
	if client == nil {
		client = defaultHTTPClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer func() { _ = resp.Body.Close() }()
		return nil, readError(resp)
	}
	return resp, nil
}
