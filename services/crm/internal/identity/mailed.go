package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

// maxMailedTokens is how many tokens of one mail are voided; more are no quotation of
// this service's mails.
const maxMailedTokens = 100

// isNoTokenRune reports whether r can't be in the encoding of a token (base64url).
func isNoTokenRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// VoidMailedTokens makes the tokens in the texts of a mail to the help desk useless:
// an answer that quotes a mail with a token is read by others than its recipient. It
// is called in the transaction that shows the mail to them.
func VoidMailedTokens(ctx context.Context, q *crmdb.Queries, now time.Time, texts ...string) error {
	var hashes [][]byte
	for _, text := range texts {
		for word := range strings.FieldsFuncSeq(text, isNoTokenRune) {
			if token, err := parseSecret(word); err == nil && len(hashes) < maxMailedTokens {
				hashes = append(hashes, token.hash())
			}
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	if err := q.MailedTokensVoid(ctx, crmdb.MailedTokensVoidParams{Now: now, Hashes: hashes}); err != nil {
		return fmt.Errorf("void tokens in a mail: %w", err)
	}
	return nil
}
