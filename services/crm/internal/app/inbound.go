package app

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"

	"fixdesk/pkg/address"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/inbound"
)

// inboundClient has the time that a whole mail takes.
func inboundClient(c *notifyapi.Client) *notifyapi.Client {
	return &notifyapi.Client{BaseURL: c.BaseURL, Token: c.Token, HTTPClient: &http.Client{Timeout: mailTimeout}}
}

// mailTimeout is how long reading one mail, or one of its files, takes at most.
const mailTimeout = time.Minute

// addresses are those to which people mail. Without CRM_REPLY_SECRET, the ones for
// answers are valid for this process alone.
func (c Config) addresses(log *slog.Logger) inbound.Addresses {
	canonical, err := address.Parse(c.SupportAddress)
	if err != nil { // unset: check refuses others
		return inbound.Addresses{}
	}
	secret := []byte(c.ReplySecret.Reveal())
	if len(secret) == 0 {
		log.Warn("the secret of addresses for answers is generated for this process; set CRM_REPLY_SECRET to recognise answers after a restart")
		secret = []byte(rand.Text())
	}
	return inbound.NewAddresses(canonical, secret)
}
