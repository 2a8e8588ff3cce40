package notifyapi

import (
	"context"
	"net/http"
	"time"
)

// Sending is whether mails are sent.
type Sending struct {
	Paused   bool       `json:"paused"`
	PausedAt *time.Time `json:"paused_at"`
	PausedBy *string    `json:"paused_by"`
	Held     int64      `json:"held"`
}

// Sending reads whether mails are sent.
func (c *Client) Sending(ctx context.Context) (Sending, error) {
	return c.sending(ctx, http.MethodGet, "/v1/sending")
}

// PauseSending stops all replicas from beginning another mail.
func (c *Client) PauseSending(ctx context.Context) (Sending, error) {
	return c.sending(ctx, http.MethodPost, "/v1/sending/pause")
}

// ResumeSending ends a pause.
func (c *Client) ResumeSending(ctx context.Context) (Sending, error) {
	return c.sending(ctx, http.MethodPost, "/v1/sending/resume")
}

// ReleaseHeld lets the mails go that are held back after a restore.
func (c *Client) ReleaseHeld(ctx context.Context) (Sending, error) {
	return c.sending(ctx, http.MethodPost, "/v1/sending/release")
}

func (c *Client) sending(ctx context.Context, method, path string) (s Sending, err error) {
	err = c.call(ctx, method, path, "", nil, &s)
	return s, err
}
