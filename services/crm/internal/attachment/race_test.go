package attachment_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

func TestSameBytesAreStoredOnceAndKeptUntilTheLastFileIsGone(t *testing.T) {
	d := newTestEnv(t)
	one, two := d.User("customer"), d.User("customer")
	content := bytes.Repeat([]byte("the same "), 100_000)
	first, second := d.upload(one, "a.txt", content), d.upload(two, "b.txt", content)
	d.purge()
	chunks := (len(content) + 256<<10 - 1) / (256 << 10)
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`); n != chunks {
		t.Errorf("%d chunks, want %d", n, chunks)
	}
	d.remove(first)
	d.purge()
	d.content(one, first).Want(404)
	if got := d.content(two, second).Want(200); !bytes.Equal(got.Body, content) {
		t.Error("the other file has other bytes now")
	}
	d.remove(second)
	d.purge()
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
}

// remove removes files as the purge does.
func (d *testEnv) remove(files ...file) {
	d.Helper()
	d.Exec(`select attachments_remove($1, $2)`, ids(files...), d.Now())
}

// unreadable counts files whose content is not there or has another size.
func (d *testEnv) unreadable() int {
	d.Helper()
	return crmtest.Get[int](d.Env, `select count(*) from attachments a join attachment_contents c on c.id = a.content_id
		where c.size <> (select coalesce(sum(length(data)), 0) from attachment_chunks k where k.object = c.object)`)
}

func TestUploadWhileTheSameContentIsRemovedKeepsItsBytes(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	reused, made := 0, 0
	for i := range trials.Count(40, 40) {
		content := fmt.Appendf(nil, "content of round %d", i)
		old := d.upload(who, "old.txt", content)
		before := crmtest.Get[uuid.UUID](d.Env, `select content_id from attachments where id = $1`, old.ID)
		var added [2]file
		var all sync.WaitGroup
		for n := range added {
			all.Go(func() { added[n] = d.upload(who, "new.txt", content) })
		}
		all.Go(func() { d.remove(old) })
		all.Go(func() { _, _ = d.files.Purge(context.Background()) })
		all.Wait()
		d.purge()
		if crmtest.Get[uuid.UUID](d.Env, `select content_id from attachments where id = $1`, added[0].ID) == before {
			reused++
		} else {
			made++
		}
		for _, f := range added {
			if got := d.content(who, f); got.Code != http.StatusOK || !bytes.Equal(got.Body, content) {
				t.Fatalf("round %d: %d %q", i, got.Code, got.Body)
			}
		}
	}
	if n := d.unreadable(); n > 0 {
		t.Errorf("%d files are unreadable", n)
	}
	t.Logf("the content was there %d times, and made again %d times", reused, made)
}

// The control: a removal that looks for other files first and removes the content
// afterwards loses that of an upload in between, and unreadable counts it.
func TestControlRemovalWithoutALockLosesTheContentOfASameUpload(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	old := d.upload(who, "old.txt", []byte("content"))
	object := crmtest.Get[uuid.UUID](d.Env, `select c.object from attachments a join attachment_contents c on c.id = a.content_id where a.id = $1`, old.ID)
	d.Exec(`delete from attachments where id = $1`, old.ID)
	if n := crmtest.Get[int](d.Env, `select count(*) from attachments`); n != 0 {
		t.Fatalf("%d files refer to it", n)
	}
	d.upload(who, "new.txt", []byte("content"))
	d.Exec(`delete from attachment_chunks where object = $1`, object)
	if n := d.unreadable(); n != 1 {
		t.Errorf("%d files are unreadable, want 1", n)
	}
}

func TestConcurrentUploadsNeverExceedTheQuota(t *testing.T) {
	d := newTestEnv(t, func(c *attachment.Config) { c.Quota = 1000 })
	who := d.User("customer")
	var all sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		all.Go(func() { codes[i] = d.tryUpload(who, "a.txt", bytes.Repeat([]byte{byte('a' + i)}, 300)).Code })
	}
	all.Wait()
	counts := map[int]int{}
	for _, code := range codes {
		counts[code]++
	}
	if counts[201] != 3 || counts[429] != 17 {
		t.Errorf("%v", counts)
	}
}

func TestFileIsAttachedOnceOfManyAtTheSameTime(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	f := d.upload(who, "a.txt", []byte("a"))
	var all sync.WaitGroup
	codes := make([]int, 10)
	for i := range codes {
		all.Go(func() {
			codes[i] = d.Call(who, "POST", "/v1/tickets", crmtest.Object{"title": "T", "description": "D", "attachment_ids": ids(f)}).Code
		})
	}
	all.Wait()
	created := 0
	for _, code := range codes {
		if code == 201 {
			created++
		} else if code != 422 {
			t.Errorf("answered %d", code)
		}
	}
	if tickets := crmtest.Get[int](d.Env, `select count(*) from tickets`); created != 1 || tickets != 1 {
		t.Errorf("%d answers of 201, %d tickets", created, tickets)
	}
}

func TestObjectOfAnUploadThatTookTooLongIsNotKept(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	slow := readerFunc(func(b []byte) (int, error) {
		d.Exec(`update attachment_removals set due_at = '2000-01-01'`)
		return copy(b, "x"), nil
	})
	if _, err := d.files.Store(context.Background(), who.ID, "a.txt", &limited{slow, 10}); err == nil {
		t.Error("it is stored although its object may be removed already")
	}
	d.purge()
	q := crmdb.New(d.Pool)
	if due, err := q.AttachmentRemovalNext(context.Background(), crmdb.AttachmentRemovalNextParams{Now: d.Now(), Most: 10}); err != nil || len(due) != 0 {
		t.Errorf("%v, %v", due, err)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
}
