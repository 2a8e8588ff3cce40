package ticketlist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"fixdesk/services/crm/internal/ticket"
)

// LastComment is the last comment of a ticket that the viewer may read.
type LastComment struct {
	Author   ticket.Person
	At       time.Time
	Internal bool
	Text     string // the beginning of the comment
}

var errLastComment = errors.New("the last comment has other columns")

// readLastComment reads the row of statement.lastComment, a record in PostgreSQL's binary
// format; nil for null. As JSON it would cost PostgreSQL and this service more than the
// rest of the ticket.
func readLastComment(record []byte) (*LastComment, error) {
	if record == nil {
		return nil, nil
	}
	var columns [5][]byte
	fields := pgtype.NewCompositeBinaryScanner(nil, record)
	n := 0
	for ; fields.Next(); n++ {
		if n == len(columns) {
			return nil, errLastComment
		}
		columns[n] = fields.Bytes()
	}
	id, name, at, internal, text := columns[0], columns[1], columns[2], columns[3], columns[4]
	if fields.Err() != nil || n != len(columns) || len(id) != len(uuid.UUID{}) || len(at) != 8 || len(internal) != 1 {
		return nil, fmt.Errorf("%w: %d, %w", errLastComment, n, fields.Err())
	}
	return &LastComment{
		Author: ticket.Person{ID: uuid.UUID(id), Name: string(name)}, At: binaryTime(at),
		Internal: internal[0] != 0, Text: string(text),
	}, nil
}

// binaryTime reads a timestamptz: microseconds since the year 2000.
func binaryTime(b []byte) time.Time {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	return time.UnixMicro(epoch + int64(binary.BigEndian.Uint64(b))).UTC()
}
