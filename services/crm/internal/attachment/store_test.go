package attachment_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
)

// s3Server is an S3 server in this process with the bucket "files". While it is away it
// answers 503.
type s3Server struct {
	url    string
	memory *s3mem.Backend
	away   atomic.Bool
}

var testKeys = attachment.S3Keys{Access: "access", Secret: "canary-secret"}

func newS3Server(t testing.TB) *s3Server {
	t.Helper()
	s := &s3Server{memory: s3mem.New()}
	if err := s.memory.CreateBucket("files"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(s.memory, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = "s3://files/desk?endpoint=" + url.QueryEscape(server.URL) + "&region=us-east-1"
	return s
}

func (s *s3Server) objects(t testing.TB) int {
	t.Helper()
	list, err := s.memory.ListBucket("files", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Contents)
}

func folderFiles(t testing.TB, root string) (n int) {
	t.Helper()
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return b
}

func TestEachStoreKeepsServesAndRemovesFiles(t *testing.T) {
	server, root := newS3Server(t), t.TempDir()
	for name, c := range map[string]struct {
		store   string
		objects func(*testEnv) int
	}{
		"postgres": {attachment.Postgres, func(d *testEnv) int {
			return crmtest.Get[int](d.Env, `select count(distinct object) from attachment_chunks`)
		}},
		"folder": {"file://" + root, func(*testEnv) int { return folderFiles(t, root) }},
		"s3":     {server.url, func(*testEnv) int { return server.objects(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := attachment.ParseStore(c.store)
			if err != nil {
				t.Fatal(err)
			}
			d := newTestEnv(t, func(config *attachment.Config) { config.Store, config.S3 = store, testKeys })
			who, content := d.User("customer"), random(700_000)
			f := d.upload(who, "a.bin", content)
			if got := d.content(who, f).Want(200); !bytes.Equal(got.Body, content) {
				t.Error("other bytes come back")
			}
			if got := d.content(who, f, "Range", "bytes=300000-300009").Want(206); !bytes.Equal(got.Body, content[300000:300010]) {
				t.Errorf("the range has %d other bytes", len(got.Body))
			}
			again := d.upload(who, "b.bin", content)
			empty := d.upload(who, "c.bin", nil)
			d.content(who, empty).Want(200)
			d.tryUpload(who, "d.bin", make([]byte, 26<<20)).Want(413)
			d.purge()
			if n := c.objects(d); n != 2 && !(name != "folder" && n == 1) { // the others have no object of an empty file
				t.Errorf("%d objects, want 2", n)
			}
			d.remove(f, empty)
			d.purge()
			if got := d.content(who, again).Want(200); !bytes.Equal(got.Body, content) {
				t.Error("the other file has other bytes now")
			}
			d.remove(again)
			d.purge()
			if n := c.objects(d); n != 0 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}

func TestStoreThatIsAwayIsAnswered503AndLosesNothing(t *testing.T) {
	server := newS3Server(t)
	store, _ := attachment.ParseStore(server.url)
	d := newTestEnv(t, func(c *attachment.Config) { c.Store, c.S3 = store, testKeys })
	who := d.User("customer")
	f := d.upload(who, "a.txt", []byte("kept")) // the control
	server.away.Store(true)
	body, contentType := form("b.txt", []byte("other"))
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/attachments", body)
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+who.ID.String())
	d.Handler.ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String()+d.Log.String(), testKeys.Secret) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	server.away.Store(false)
	if got := d.content(who, f).Want(200); string(got.Body) != "kept" {
		t.Errorf("%q", got.Body)
	}
	d.upload(who, "b.txt", []byte("other"))
	d.purge()
	if n := server.objects(t); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
}

func TestStoreNamesHaveOneSpelling(t *testing.T) {
	for name, want := range map[string]string{
		"postgres":              "postgres",
		"file:///var/lib/files": "file:///var/lib/files", "file:///var//lib/files/": "file:///var/lib/files",
		"s3://files": "s3://files/?endpoint=https%3A%2F%2Fs3.amazonaws.com",
		"s3://files/desk/?endpoint=http://minio:9000":  "s3://files/desk?endpoint=http%3A%2F%2Fminio%3A9000",
		"s3://files?region=eu-1&endpoint=https://s3.x": "s3://files/?endpoint=https%3A%2F%2Fs3.x&region=eu-1",
		"": "", "mysql": "", "file://host/x": "", "file:relative": "", "s3:///x": "", "s3://u:p@files": "", "s3://files?endpoint=ftp://x": "", "s3://files?acl=public": "", "http://x": "",
	} {
		if got, err := attachment.ParseStore(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", name, got, err, want)
		}
		if again, err := attachment.ParseStore(want); want != "" && (again != want || err != nil) {
			t.Errorf("%q is %q, %v", want, again, err)
		}
	}
}

// TestFilesMoveBetweenStoresWhileTheyAreUsed moves files from store to store while
// others are uploaded, downloaded and removed.
func TestFilesMoveBetweenStoresWhileTheyAreUsed(t *testing.T) {
	server, root := newS3Server(t), t.TempDir()
	d := newTestEnv(t, func(c *attachment.Config) { c.S3 = testKeys })
	who := d.User("customer")
	contents := map[string][]byte{}
	var files []file
	for i := range 20 {
		content := random(1000 + 40_000*i)
		f := d.upload(who, "a.bin", content)
		files, contents[f.SHA256] = append(files, f), content
	}
	check := func() {
		t.Helper()
		for _, f := range files {
			if got := d.content(who, f); got.Code != 200 || !bytes.Equal(got.Body, contents[f.SHA256]) {
				t.Fatalf("file of %d bytes: %d, %d bytes", f.Size, got.Code, len(got.Body))
			}
		}
	}
	for _, to := range []string{"file://" + root, server.url, attachment.Postgres} {
		var all sync.WaitGroup
		stop := make(chan struct{})
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					check()
				}
			}
		})
		removed := d.upload(who, "removed.bin", random(100_000))
		all.Go(func() { d.remove(removed) })
		_, err := d.files.Move(context.Background(), to, func(attachment.Moved) {})
		close(stop)
		all.Wait()
		if err != nil {
			t.Fatalf("move to %s: %v", to, err)
		}
		d.Advance(2 * time.Hour)
		d.purge()
		check()
		inDatabase := crmtest.Get[int](d.Env, `select count(distinct object) from attachment_chunks`)
		if inDatabase+folderFiles(t, root)+server.objects(t) != len(files) {
			t.Errorf("after the move to %s: %d objects in the database, %d in the folder, %d in the bucket", to, inDatabase, folderFiles(t, root), server.objects(t))
		}
	}
}

func TestInterruptedMoveIsContinued(t *testing.T) {
	root := t.TempDir()
	d := newTestEnv(t)
	who := d.User("customer")
	for range 10 {
		d.upload(who, "a.bin", random(1000))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, err := d.files.Move(ctx, "file://"+root, func(done attachment.Moved) {
		if done.Files == 4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || done.Files > 5 {
		t.Fatalf("%+v, %v", done, err)
	}
	rest, err := d.files.Move(context.Background(), "file://"+root, func(attachment.Moved) {})
	if err != nil || done.Files+rest.Files < 10 || folderFiles(t, root) < 10 {
		t.Errorf("%+v, then %+v, %v", done, rest, err)
	}
	if n, err := d.files.Move(context.Background(), "file://"+root, func(attachment.Moved) {}); err != nil || n.Files != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	d.Advance(25 * time.Hour)
	d.Exec(`update attachments set created_at = $1`, d.Now())
	d.purge()
	if n := folderFiles(t, root) + crmtest.Get[int](d.Env, `select count(*) from attachment_chunks`); n != 10 {
		t.Errorf("%d objects are left, want 10", n)
	}
}

// The control of the check of copies: a content whose bytes are not those of its hash
// stays where it is, and the others are moved.
func TestDamagedContentIsNotMoved(t *testing.T) {
	root := t.TempDir()
	d := newTestEnv(t)
	who := d.User("customer")
	bad := d.upload(who, "bad.txt", []byte("damaged"))
	d.upload(who, "good.txt", []byte("whole"))
	d.Exec(`update attachment_chunks set data = 'demaged' where object = (
		select c.object from attachments a join attachment_contents c on c.id = a.content_id where a.id = $1)`, bad.ID)
	done, err := d.files.Move(context.Background(), "file://"+root, func(attachment.Moved) {})
	if err == nil || done.Files != 1 || done.Failed != 1 || !strings.Contains(err.Error(), "other bytes") {
		t.Errorf("%+v, %v", done, err)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_contents where store = 'postgres'`); n != 1 {
		t.Errorf("%d contents are still in the database, want the damaged one", n)
	}
	if _, err := os.Stat(root); err != nil {
		t.Error(err)
	}
}
