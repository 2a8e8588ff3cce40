package inbound

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
)

const day = 24 * time.Hour

// at makes the service's clock stand.
func (s *Service) at(now time.Time) { s.Config.Now = func() time.Time { return now } }

// storeAt stores a mail of the given time with three pieces.
func storeAt(t *testing.T, s *Service, at time.Time, status string) uuid.UUID {
	t.Helper()
	id := delivery.FirstID(at)
	tail := uuid.New()
	copy(id[8:], tail[8:])
	for _, sql := range []string{
		"insert into inbound_raw (mail_id, ordinal, data) select $1::uuid, n, 'piece' from generate_series(0, 2) n where $2 <> ''",
		`insert into inbound_mails (id, received_at, source, envelope_from, envelope_to, size, fingerprint, status, content)
			values ($1::uuid, now(), 'smtp', '', '{}', 15, decode(md5($1::uuid::text) || md5($1::uuid::text), 'hex'), $2::text::inbound_status, '{}')`,
	} {
		if _, err := s.DB.Exec(t.Context(), sql, id, status); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// maintain is what the jobs of several replicas do.
func maintain(t *testing.T, s *Service, retention time.Duration) {
	t.Helper()
	replicas := []*Service{s, {Config: s.Config, metrics: s.metrics}, {Config: s.Config, metrics: s.metrics}}
	var all sync.WaitGroup
	for _, r := range replicas {
		all.Go(func() {
			if err := Partitions(r.DB, r.Now).Prepare(t.Context()); err != nil {
				t.Error(err)
			}
			if err := r.purge(t.Context(), retention); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func partitionNames(t *testing.T, s *Service) (names []string) {
	t.Helper()
	if err := s.DB.QueryRow(t.Context(), "select array_agg(name order by ends) from partitions_of('inbound_raw')").Scan(&names); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBytesOfMailsAreDroppedWithTheirMonth(t *testing.T) {
	t.Parallel()
	s := newService(t)
	now := s.Now()
	first := storeAt(t, s, now, "acknowledged")
	kept := func(id uuid.UUID) bool {
		return count(t, s, "select count(*) from inbound_raw where mail_id = '"+id.String()+"'") == 3
	}
	var stored []uuid.UUID
	for range 8 {
		now = now.Add(31 * day)
		s.at(now)
		maintain(t, s, 40*day)
		stored = append(stored, storeAt(t, s, now, "acknowledged"))
	}
	// The first partition has up to two months.
	if kept(first) || kept(stored[2]) || !kept(stored[6]) || !kept(stored[7]) {
		t.Errorf("first %v, after 3 months %v, after 7 %v, after 8 %v", kept(first), kept(stored[2]), kept(stored[6]), kept(stored[7]))
	}
	names := partitionNames(t, s)
	if slices.Contains(names, "inbound_raw_first") || !slices.Contains(names, "inbound_raw_rest") || len(names) > 9 {
		t.Errorf("partitions %v", names)
	}
	if n := count(t, s, "select count(*) from inbound_raw_rest"); n != 0 { // the control of the next test
		t.Errorf("%d pieces in the partition of the rest", n)
	}
}

// A mail that its consumer doesn't acknowledge keeps its month, not the other mails of it.
func TestMonthOfAMailThatIsNotDoneIsKeptForItAlone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	now, ends := s.Now(), time.Time{}
	if err := s.DB.QueryRow(t.Context(), "select uuid_time(ends) from partitions_of('inbound_raw') where name = 'inbound_raw_first'").Scan(&ends); err != nil {
		t.Fatal(err)
	}
	waits, done := storeAt(t, s, now, "pending"), storeAt(t, s, now, "acknowledged")
	pieces := func(id uuid.UUID) int {
		return count(t, s, "select count(*) from inbound_raw where mail_id = '"+id.String()+"'")
	}
	s.at(ends.Add(40*day + pg.PartitionGrace - day))
	maintain(t, s, 40*day)
	if pieces(waits) != 3 || pieces(done) != 3 {
		t.Errorf("at first: %d and %d pieces, want both", pieces(waits), pieces(done))
	}
	s.at(ends.Add(40*day + pg.PartitionGrace + day))
	maintain(t, s, 40*day)
	if pieces(waits) != 3 || pieces(done) != 0 {
		t.Errorf("later: %d and %d pieces, want those of the mail that waits", pieces(waits), pieces(done))
	}
	if _, err := s.Ack(t.Context(), waits, "ignored", nil); err != nil {
		t.Fatal(err)
	}
	maintain(t, s, 40*day)
	if names := partitionNames(t, s); slices.Contains(names, "inbound_raw_first") {
		t.Errorf("partitions %v", names)
	}
}

func TestBytesOfAMonthWithoutPartitionAreKeptAndMoveToIt(t *testing.T) {
	t.Parallel()
	s := newService(t)
	later := s.Now().Add(400 * day)
	s.at(later)
	id := storeAt(t, s, later, "pending")
	if n := count(t, s, "select count(*) from inbound_raw_rest"); n != 3 {
		t.Errorf("%d pieces in the partition of the rest, want 3", n)
	}
	maintain(t, s, 1000*day)
	if n := count(t, s, "select count(*) from inbound_raw_rest"); n != 0 {
		t.Errorf("%d pieces are left in the partition of the rest", n)
	}
	month := "inbound_raw_" + later.Format("200601")
	if n := count(t, s, "select count(*) from "+month+" where mail_id = '"+id.String()+"'"); n != 3 {
		t.Errorf("%d pieces in %s, want 3", n, month)
	}
}

func TestBytesOfAMailAreLookedUpInOnePartition(t *testing.T) {
	t.Parallel()
	s := newService(t)
	id := receive(t, s, "one@x", 600<<10)
	used := func(where string, args ...any) (scans int) {
		for _, line := range pgtest.Explain(t, s.DB, "select data from inbound_raw "+where, args...) {
			if strings.Contains(line, "Scan") && !strings.Contains(line, "never executed") {
				if _, relation, found := strings.Cut(line, " on inbound_raw_"); found && !strings.Contains(relation, "pkey") {
					scans++
				}
			}
		}
		return scans
	}
	if n := used("where mail_id = $1 and ordinal = 0", id); n != 1 {
		t.Errorf("%d partitions are read", n)
	}
	if all := len(partitionNames(t, s)); all < 4 || used("where ordinal = 0") != all { // the control
		t.Errorf("without an id %d of %d partitions are read", used("where ordinal = 0"), all)
	}
}
