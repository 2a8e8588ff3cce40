package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"fixdesk/pkg/address"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/inbound"
)

// inboundClient has the time that a whole mail takes.
func inboundClient(c *notifyapi.Client) *notifyapi.Client {
	return &notifyapi.Client{BaseURL: c.BaseURL, Token: c.Token, HTTPClient: &http.Client{Timeout: mailTimeout}}
}

// mailTimeout is how long reading one mail, or one of its files, takes at most.
const mailTimeout = time.Minute

// addresses are those to which people mail. Without CRM_REPLY_SECRET, prepareAddresses
// reads the secret of those for answers.
func (c Config) addresses() inbound.Addresses {
	canonical, err := address.Parse(c.SupportAddress)
	if err != nil { // unset: check refuses others
		return inbound.Addresses{}
	}
	return inbound.NewAddresses(canonical, []byte(c.ReplySecret.Reveal()))
}

// prepareAddresses reads the secret that the migrations made for all replicas.
func (a *App) prepareAddresses(ctx context.Context) error {
	if !a.addresses.Set() || a.addresses.HasSecret() {
		return nil
	}
	return pg.RetryUnavailable(ctx, startLimit, func(ctx context.Context) error {
		secret, err := crmdb.New(a.pool).SecretGet(ctx, inbound.ReplySecret)
		if err != nil {
			return fmt.Errorf("read the secret of addresses for answers: %w", err)
		}
		a.addresses.SetSecret(secret)
		return nil
	})
}
