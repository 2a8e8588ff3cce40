package failover

import (
	"fmt"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/pkg/dev/smtptest"
)

// mails notes when each mail was accepted.
type mails struct {
	t  *testing.T
	mu sync.Mutex
	at map[string][]time.Time // by recipient and Message-ID
	of map[string]bool        // by recipient and number of the ticket
}

// note is a Hook of the mail server.
func (m *mails) note(e smtptest.Event) string {
	if e.Verb != "DOT" {
		return ""
	}
	message, err := mail.ReadMessage(strings.NewReader(e.Arg))
	if err != nil {
		m.t.Error(err)
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := e.To + " " + message.Header.Get("Message-ID")
	m.at[id] = append(m.at[id], time.Now())
	if _, after, found := strings.Cut(message.Header.Get("Subject"), "#"); found {
		number, _, _ := strings.Cut(after, "]")
		m.of[e.To+" "+number] = true
	}
	return ""
}

// missing returns how many mails of the tickets have not come: to the reporter and to
// the engineer of each.
func (m *mails) missing(l *load) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, number := range l.acknowledged {
		for _, to := range []string{adminEmail, engineerEmail} {
			if !m.of[fmt.Sprintf("%s %d", to, number)] {
				n++
			}
		}
	}
	return n
}

// doubled returns how many mails were accepted twice. Those are explained whose result
// may not have been stored, since a process or the database ended within ten seconds.
func (m *mails) doubled(faults []time.Time) (explained, unexplained int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, at := range m.at {
		if len(at) < 2 {
			continue
		}
		because := false
		for _, fault := range faults {
			because = because || fault.After(at[0].Add(-time.Second)) && fault.Before(at[0].Add(10*time.Second))
		}
		if because {
			explained++
		} else {
			unexplained++
		}
	}
	return explained, unexplained
}
