package attachment

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	clamdChunk = 64 << 10
	// clamdTimeout bounds one scan, and clamdDial the connection to the scanner.
	clamdTimeout = 5 * time.Minute
	clamdDial    = 5 * time.Second
)

// clamd is the scanner of ClamAV, asked by its command INSTREAM (clamd(8)). Its
// StreamMaxLength must be at least Config.Max.
type clamd struct{ address string }

// errRefused is in the chain of the error when clamd answered that it can't scan.
var errRefused = errors.New("clamd can't scan it")

// scan sends a file to clamd and returns ScanClean or ScanInfected.
func (c clamd) scan(ctx context.Context, file io.Reader) (Scan, error) {
	ctx, cancel := context.WithTimeout(ctx, clamdTimeout)
	defer cancel()
	network, address := "tcp", c.address
	if path, ok := strings.CutPrefix(c.address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := (&net.Dialer{Timeout: clamdDial}).DialContext(ctx, network, address)
	if err != nil {
		return "", fmt.Errorf("reach clamd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	sent := sendStream(conn, file)
	if errors.Is(sent, errUnreadable) {
		return "", sent
	}
	// clamd answers, and closes, before the end of a stream that is too long.
	reply, err := bufio.NewReader(io.LimitReader(conn, 4096)).ReadString(0)
	if err != nil {
		return "", fmt.Errorf("ask clamd: %w", errors.Join(sent, err))
	}
	return readReply(strings.TrimRight(reply, "\x00\n"), sent)
}

// errUnreadable is in the chain of the error when the file could not be read.
var errUnreadable = errors.New("the file can't be read")

// sendStream sends the command and the file in chunks, each after its length.
func sendStream(w io.Writer, file io.Reader) error {
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	chunk := make([]byte, 4+clamdChunk)
	for {
		n, err := io.ReadFull(file, chunk[4:])
		if err != nil && !ended(err) {
			return errors.Join(errUnreadable, err)
		}
		if n > 0 {
			binary.BigEndian.PutUint32(chunk, uint32(n))
			if _, err := w.Write(chunk[:4+n]); err != nil {
				return err
			}
		}
		if err != nil {
			_, err := w.Write(make([]byte, 4)) // the end
			return err
		}
	}
}

// readReply reads "stream: OK", "stream: NAME FOUND" and anything else, which is an
// error. A file that was not sent whole is never clean.
func readReply(reply string, sent error) (Scan, error) {
	switch {
	case strings.HasSuffix(reply, " FOUND"):
		return ScanInfected, nil
	case reply == "stream: OK" && sent == nil:
		return ScanClean, nil
	case sent != nil && reply == "":
		return "", fmt.Errorf("ask clamd: %w", sent)
	}
	return "", fmt.Errorf("%w: %.200q", errRefused, reply)
}
