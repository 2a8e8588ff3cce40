package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"fixdesk/pkg/errs"
)

// PageParams are the input of every list; embed them in its input struct.
type PageParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many items at most."`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next_cursor of the page before; keep the other parameters as they were."`
}

// Page is the answer of every list. Make it with NewPage.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}

// NewPage makes a page whose items are never null. next is "" on the last one.
func NewPage[T any](items []T, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{Items: items, NextCursor: next}
}

var errInvalidCursor = errs.New(errs.BadRequest, errs.CodeInvalidCursor,
	"The cursor is not one of this list with these filters. Start again without it.")

// filterHash is how many bytes of the hash of the filters a cursor carries.
const filterHash = 8

var cursorEncoding = base64.RawURLEncoding.Strict()

// EncodeCursor makes the cursor that continues after position in the list with
// the given filters (everything that chooses or orders the rows, not the
// limit). Both are marshalled as JSON. A cursor is opaque, not secret, and not
// signed: it can say nothing but a position.
func EncodeCursor[P any](position P, filters any) (string, error) {
	data, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("encode a cursor: %w", err)
	}
	hash, err := hashFilters(filters)
	if err != nil {
		return "", err
	}
	return cursorEncoding.EncodeToString(append(hash, data...)), nil
}

// DecodeCursor gives back the position. A cursor that EncodeCursor did not make
// byte for byte, or that was made for other filters, is refused as
// invalid_cursor.
func DecodeCursor[P any](cursor string, filters any) (P, error) {
	var position, none P
	data, err := cursorEncoding.DecodeString(cursor)
	// The decoder skips line breaks even when it is strict.
	if err != nil || len(data) <= filterHash || strings.ContainsAny(cursor, "\r\n") {
		return none, errInvalidCursor
	}
	hash, err := hashFilters(filters)
	if err != nil {
		return none, err
	}
	if !bytes.Equal(hash, data[:filterHash]) {
		return none, errInvalidCursor
	}
	data = data[filterHash:]
	if _, err := checkJSON(data); err != nil {
		return none, errInvalidCursor
	}
	if err := json.Unmarshal(data, &position); err != nil {
		return none, errInvalidCursor
	}
	if again, err := json.Marshal(position); err != nil || !bytes.Equal(again, data) {
		return none, errInvalidCursor
	}
	return position, nil
}

func hashFilters(filters any) ([]byte, error) {
	data, err := json.Marshal(filters)
	if err != nil {
		return nil, fmt.Errorf("hash the filters of a cursor: %w", err)
	}
	sum := sha256.Sum256(data)
	return sum[:filterHash:filterHash], nil
}
