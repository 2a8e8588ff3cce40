package attachment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/services/crm/internal/crmdb"
)

const (
	// chunksAtOnce is how many chunks are written, and how many are read, at a time,
	// so that files leave most connections to other requests.
	chunksAtOnce = 4
	// removedAtOnce is how many chunks one statement removes.
	removedAtOnce = 40
)

// postgres keeps objects in the database, in chunks.
type postgres struct {
	q       *crmdb.Queries
	writing chan struct{}
	reading chan struct{}
}

func newPostgres(pool *pgxpool.Pool) *postgres {
	return &postgres{q: crmdb.New(pool), writing: make(chan struct{}, chunksAtOnce), reading: make(chan struct{}, chunksAtOnce)}
}

// buffers hold the chunks that are being received.
var buffers = sync.Pool{New: func() any { return new([chunkSize]byte) }}

func (p *postgres) write(ctx context.Context, object uuid.UUID, r io.Reader) error {
	buffer := buffers.Get().(*[chunkSize]byte)
	defer buffers.Put(buffer)
	for n := int32(0); ; n++ {
		size, err := io.ReadFull(r, buffer[:])
		if size > 0 {
			if err := p.writeChunk(ctx, crmdb.AttachmentChunkAddParams{Object: object, N: n, Data: buffer[:size]}); err != nil {
				return fmt.Errorf("write a chunk: %w", err)
			}
		}
		if ended(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ended reports whether io.ReadFull has reached the end: an error of the reader itself
// may wrap the same values.
func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF } //nolint:errorlint // the very values

func (p *postgres) writeChunk(ctx context.Context, arg crmdb.AttachmentChunkAddParams) error {
	if err := take(ctx, p.writing); err != nil {
		return err
	}
	defer func() { <-p.writing }()
	return p.q.AttachmentChunkAdd(ctx, arg)
}

func take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *postgres) open(ctx context.Context, object uuid.UUID, size int64) (io.ReadSeekCloser, error) {
	return &chunkReader{ctx: ctx, store: p, object: object, size: size, at: -1}, nil
}

func (p *postgres) remove(ctx context.Context, object uuid.UUID) error {
	for {
		n, err := p.q.AttachmentChunkRemove(ctx, crmdb.AttachmentChunkRemoveParams{Object: object, Most: removedAtOnce})
		if err != nil {
			return fmt.Errorf("remove chunks: %w", err)
		}
		if n < removedAtOnce {
			return nil
		}
	}
}

// chunkReader reads an object chunk by chunk, one in memory.
type chunkReader struct {
	ctx    context.Context
	store  *postgres
	object uuid.UUID
	size   int64

	position int64
	chunk    []byte
	at       int64 // the number of chunk, -1 for none
}

// Read reads from the chunk at the position.
func (c *chunkReader) Read(b []byte) (int, error) {
	if c.position >= c.size {
		return 0, io.EOF
	}
	n := c.position / chunkSize
	if n != c.at {
		if err := c.load(n); err != nil {
			return 0, err
		}
	}
	offset := c.position % chunkSize
	if offset >= int64(len(c.chunk)) {
		return 0, fmt.Errorf("chunk %d is too short: %w", n, io.ErrUnexpectedEOF)
	}
	read := copy(b, c.chunk[offset:])
	c.position += int64(read)
	return read, nil
}

func (c *chunkReader) load(n int64) error {
	if err := take(c.ctx, c.store.reading); err != nil {
		return err
	}
	defer func() { <-c.store.reading }()
	data, err := c.store.q.AttachmentChunkGet(c.ctx, crmdb.AttachmentChunkGetParams{Object: c.object, N: int32(n)})
	if err != nil {
		return fmt.Errorf("read chunk %d: %w", n, err)
	}
	c.chunk, c.at = data, n
	return nil
}

// Seek sets the position of the next Read.
func (c *chunkReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.position
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	c.position = offset
	return offset, nil
}

// Close releases the chunk.
func (c *chunkReader) Close() error {
	c.chunk = nil
	return nil
}
