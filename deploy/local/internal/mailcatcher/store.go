package mailcatcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const messageSuffix = ".mail"

var errNoMessage = errors.New("no such message")

// envelope is what SMTP transmits about a message.
type envelope struct {
	From       string    `json:"from"`
	To         []string  `json:"to"`
	ReceivedAt time.Time `json:"received_at"`
}

// summary is a message in a list.
type summary struct {
	ID string `json:"id"`
	envelope
	Subject string `json:"subject"`
}

// store has a file for each message: the envelope as one line of JSON, then the
// message as received. Names are UUIDv7, so their order is that of arrival.
type store struct {
	dir string
	max int

	mu       sync.RWMutex
	messages []summary // oldest first
}

func openStore(dir string, most int) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, max: most}
	for _, entry := range entries {
		id, isMessage := strings.CutSuffix(entry.Name(), messageSuffix)
		if !isMessage {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // left half-written by a crash
			continue
		}
		message, raw, err := s.read(id)
		if err != nil {
			return nil, err
		}
		s.messages = append(s.messages, summary{ID: id, envelope: message, Subject: subject(raw)})
	}
	s.trim()
	return s, nil
}

// add has stored the message when it returns.
func (s *store) add(e envelope, raw []byte) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	first, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := s.path(id.String())
	content := append(append(first, '\n'), raw...)
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	s.messages = append(s.messages, summary{ID: id.String(), envelope: e, Subject: subject(raw)})
	s.trim()
	return nil
}

// trim deletes the oldest messages above the limit. The caller holds the lock.
func (s *store) trim() {
	for len(s.messages) > s.max {
		_ = os.Remove(s.path(s.messages[0].ID))
		s.messages = s.messages[1:]
	}
}

// list returns up to limit messages, newest first; to, if given, is an address
// that one of the recipients must be, without regard to case.
func (s *store) list(limit int, to string) []summary {
	s.mu.RLock()
	defer s.mu.RUnlock()
	items := []summary{}
	for i := len(s.messages) - 1; i >= 0 && len(items) < limit; i-- {
		if to == "" || isAmong(to, s.messages[i].To) {
			items = append(items, s.messages[i])
		}
	}
	return items
}

func isAmong(address string, addresses []string) bool {
	for _, a := range addresses {
		if strings.EqualFold(a, address) {
			return true
		}
	}
	return false
}

// get returns a message as it was received; errNoMessage if there is none.
func (s *store) get(id string) (summary, []byte, error) {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return summary{}, nil, errNoMessage // only a UUID may be part of a path
	}
	e, raw, err := s.read(id)
	if errors.Is(err, os.ErrNotExist) {
		return summary{}, nil, errNoMessage
	}
	return summary{ID: id, envelope: e, Subject: subject(raw)}, raw, err
}

func (s *store) read(id string) (envelope, []byte, error) {
	content, err := os.ReadFile(s.path(id))
	if err != nil {
		return envelope{}, nil, err
	}
	first, raw, _ := bytes.Cut(content, []byte{'\n'})
	var e envelope
	if err := json.Unmarshal(first, &e); err != nil {
		return envelope{}, nil, fmt.Errorf("%s: %w", s.path(id), err)
	}
	return e, raw, nil
}

// clear deletes every message.
func (s *store) clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.messages) > 0 {
		if err := os.Remove(s.path(s.messages[0].ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		s.messages = s.messages[1:]
	}
	return nil
}

func (s *store) path(id string) string { return filepath.Join(s.dir, id+messageSuffix) }

func subject(raw []byte) string {
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return ""
	}
	return decodeHeader(message.Header.Get("Subject"))
}
