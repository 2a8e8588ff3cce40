package inbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// pieceSize is how many bytes of a mail are in memory while it comes in, and in one
// row. A smaller mail is stored by one statement.
const pieceSize = 256 << 10

// firstBuffer is the size of the buffer in which a mail begins.
const firstBuffer = 8 << 10

// Arrival is how a mail comes in.
type Arrival struct {
	Source notifyapi.InboundSource
	From   string // MAIL FROM, "" for the empty sender
	To     []string
}

// Receipt is a mail that is stored for good.
type Receipt struct {
	ID uuid.UUID
	// Repeated is true for a mail that was stored before; ID is that one's.
	Repeated bool
}

// ErrHeaderTooLarge is returned for a mail whose header is longer than 256 KiB.
var ErrHeaderTooLarge = errors.New("the header of the mail is too large")

// Receive reads a mail from r and stores it. What it returns without an error is
// durable. An error of r is returned wrapped, and nothing of the mail is kept then.
func (s *Service) Receive(ctx context.Context, a Arrival, r io.Reader) (Receipt, error) {
	t, err := s.transfer(ctx, r)
	if err == nil && t.header == nil {
		err = ErrHeaderTooLarge
	}
	if err != nil {
		s.discard(ctx, t)
		return Receipt{}, err
	}
	id, err := s.inserter.insert(ctx, t.row(a))
	if err != nil {
		return Receipt{}, fmt.Errorf("store a mail: %w", err)
	}
	receipt := Receipt{ID: id, Repeated: id != t.id}
	if receipt.Repeated {
		s.discard(ctx, t)
	}
	s.stored(a, receipt)
	return receipt, nil
}

// stored counts a mail and has it read.
func (s *Service) stored(a Arrival, r Receipt) {
	result := resultStored
	if r.Repeated {
		result = resultRepeated
	}
	s.metrics.received.WithLabelValues(string(a.Source), result).Inc()
	s.wake()
}

// transfer is a mail whose bytes have been read, all but the last piece of which are
// in the database.
type transfer struct {
	id     uuid.UUID
	at     time.Time
	size   int64
	stored int32 // pieces in the database
	last   []byte
	header []byte // with the empty line; nil when it is longer than a piece
	body   hash.Hash
}

// transfer reads a mail. The transfer that it returns is never nil.
func (s *Service) transfer(ctx context.Context, r io.Reader) (*transfer, error) {
	t := &transfer{at: s.Now(), body: sha256.New()}
	var err error
	if t.id, err = uuid.NewV7(); err != nil {
		return t, fmt.Errorf("make a mail's id: %w", err)
	}
	buffer := make([]byte, 0, firstBuffer)
	for {
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, min(cap(buffer), pieceSize-len(buffer)))
		}
		n, err := r.Read(buffer[len(buffer):min(cap(buffer), pieceSize)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case errors.Is(err, io.EOF):
			t.take(buffer, true)
			t.last = buffer
			return t, nil
		case err != nil:
			return t, fmt.Errorf("read the mail: %w", err)
		case len(buffer) < pieceSize:
			continue
		}
		t.take(buffer, false)
		err = s.within(ctx, func(ctx context.Context, q *notificationdb.Queries) error {
			return q.InboundPieceInsert(ctx, notificationdb.InboundPieceInsertParams{MailID: t.id, Ordinal: t.stored, Data: buffer})
		})
		t.stored++ // even after an error, since it may have been stored
		if err != nil {
			return t, fmt.Errorf("store a piece of a mail: %w", err)
		}
		buffer = buffer[:0]
	}
}

// within bounds the time of a statement, since a sender waits.
func (s *Service) within(ctx context.Context, do func(context.Context, *notificationdb.Queries) error) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return do(ctx, notificationdb.New(s.DB))
}

// take adds a piece to the size and the hashes.
func (t *transfer) take(piece []byte, last bool) {
	t.size += int64(len(piece))
	if t.stored == 0 {
		end := headerEnd(piece)
		if end < 0 && last {
			end = len(piece)
		}
		if end >= 0 {
			t.header = bytes.Clone(piece[:end])
			piece = piece[end:]
		}
	}
	_, _ = t.body.Write(piece)
}

// row is what is stored of the mail beside the pieces that are stored already.
func (t *transfer) row(a Arrival) notificationdb.InboundInsertParams {
	to := make([]string, len(a.To))
	for i, address := range a.To {
		to[i] = clean(address)
	}
	return notificationdb.InboundInsertParams{
		ID: t.id, ReceivedAt: t.at, Source: a.Source, EnvelopeFrom: clean(a.From), EnvelopeTo: to, Size: t.size,
		Fingerprint: fingerprint(t.header, [sha256.Size]byte(t.body.Sum(nil)), to, t.at),
		Ordinal:     t.stored, Data: t.last,
	}
}

// discard deletes the pieces of a mail that is certainly not stored. What it can't
// delete the purge does, and the pieces of mails of which it isn't certain: a commit
// may have succeeded although its answer was an error.
func (s *Service) discard(ctx context.Context, t *transfer) {
	if t.stored == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := notificationdb.New(s.DB).InboundPiecesDelete(ctx, t.id); err != nil {
		s.Log.WarnContext(ctx, "pieces of a mail that was not stored are left for the purge", "error", err)
	}
}

const (
	storeTimeout   = 30 * time.Second
	discardTimeout = 5 * time.Second
)

// clean is text that the database takes: UTF-8 without NUL.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
