package httpapi

import (
	"bytes"
	"context"
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

// Page is the body of every list. Make it with Pager, or with NewPage where the
// rows don't come one by one.
type Page[T any] struct {
	Items      []T    `json:"items" doc:"The items of this page; empty when there is none."`
	NextCursor string `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}

// NewPage makes a page whose items are never null. next is "" on the last one.
func NewPage[T any](items []T, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{Items: items, NextCursor: next}
}

// PageOutput is the output of every list's handler. Pager.Page makes it.
type PageOutput[T any] struct {
	Link string `header:"Link" doc:"The next page, with rel=\"next\" (RFC 8288); absent on the last page."`
	Body Page[T]
}

// Pager pages one list: it reads rows of type Row, orders them by positions of
// type Position, and answers items of type Item.
type Pager[Row, Position, Item any] struct {
	// Filters is everything that chooses and orders the rows, with the name of
	// the list. It is marshalled as JSON; a cursor made for other filters is
	// refused with invalid_cursor.
	Filters any

	// Fetch reads at most n rows that follow the position; nil is the beginning.
	Fetch func(after *Position, n int) ([]Row, error)

	// Position returns a row's position in the order of the list. It must survive
	// JSON unchanged, since the cursor holds it as JSON.
	Position func(Row) Position

	// View converts a row to an item of the answer.
	View func(Row) Item

	// Items returns the first n rows as items, in place of View.
	Items func(n int) []Item
}

// Page reads one page. It fetches one row more than params.Limit, to learn
// whether another page follows.
func (p Pager[Row, Position, Item]) Page(ctx context.Context, params PageParams) (*PageOutput[Item], error) {
	var after *Position
	if params.Cursor != "" {
		position, err := DecodeCursor[Position](params.Cursor, p.Filters)
		if err != nil {
			return nil, err
		}
		after = &position
	}
	rows, err := p.Fetch(after, params.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(rows) > params.Limit {
		rows = rows[:params.Limit]
		if next, err = EncodeCursor(p.Position(rows[len(rows)-1]), p.Filters); err != nil {
			return nil, err
		}
	}
	return NewPageOutput(ctx, p.items(rows), next), nil
}

func (p Pager[Row, Position, Item]) items(rows []Row) []Item {
	if p.Items != nil {
		return p.Items(len(rows))
	}
	items := make([]Item, len(rows))
	for i, row := range rows {
		items[i] = p.View(row)
	}
	return items
}

// NewPageOutput makes the output of a list that Pager doesn't page, with the Link
// header. next is "" on the last page.
func NewPageOutput[T any](ctx context.Context, items []T, next string) *PageOutput[T] {
	return &PageOutput[T]{Link: linkNext(ctx, next), Body: NewPage(items, next)}
}

// linkNext is the Link header (RFC 8288) of the page after this one: the same
// request with another cursor. It is "" on the last page and outside a request.
func linkNext(ctx context.Context, cursor string) string {
	info := infoOf(ctx)
	if info == nil || info.url == nil || cursor == "" {
		return ""
	}
	query := info.url.Query()
	query.Set("cursor", cursor)
	return "<" + info.url.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

var errInvalidCursor = errs.New(errs.BadRequest, errs.CodeInvalidCursor,
	"The cursor is not one of this list with these filters. Start again without it.")

// filterHash is the length in bytes of the filters' hash in a cursor.
const filterHash = 8

var cursorEncoding = base64.RawURLEncoding.Strict()

// EncodeCursor makes the cursor that continues after position in the list with
// the given filters (everything that chooses or orders the rows, not the
// limit). Both are marshalled as JSON. A cursor is opaque, not secret, and not
// signed: it holds nothing but a position.
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

// DecodeCursor returns the position. A cursor that EncodeCursor did not make
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
