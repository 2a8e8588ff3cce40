package email

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// DKIM signs mails for a domain (RFC 6376; Ed25519 as in RFC 8463).
type DKIM struct {
	domain, selector string
	key              crypto.Signer
}

// The headers that are signed, those for unsubscribing among them (RFC 8058
// section 4). A header that is listed and absent, or listed twice, can't be added
// on the way (RFC 6376 section 8.15).
var (
	signedHeaders = []string{
		"From", "To", "Subject", "Reply-To", "Date", "Message-ID", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post",
	}
	oversignedHeaders = []string{"From", "Subject"}
)

// LoadDKIM reads an RSA or Ed25519 private key in PEM from path.
func LoadDKIM(domain, selector, path string) (*DKIM, error) {
	if domain == "" || selector == "" {
		return nil, errors.New("a DKIM key needs its domain and selector")
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read DKIM key: %w", err)
	}
	key, err := gomail.PrivKeyFromPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("read DKIM key: want an RSA or Ed25519 private key in PEM: %w", err)
	}
	return &DKIM{domain: domain, selector: selector, key: key}, nil
}

// signer is made for each message, since the time of the signature is the mail's
// date, so that a repeat has the same signature, and the library's signer is not
// safe for concurrent use.
func (d *DKIM) signer(date time.Time) *gomail.DKIMSigner {
	s := gomail.NewDKIMSigner(d.domain, d.selector, d.key)
	s.NowFunc = func() time.Time { return date }
	s.SignHeaders(signedHeaders...)
	s.OversignHeaders(oversignedHeaders...)
	return s
}
