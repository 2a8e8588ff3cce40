//go:build servers

package attachment_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"fixdesk/pkg/dev/launch"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
)

// s3Gateway is versitygw, which keeps a bucket in a folder.
type s3Gateway struct {
	testing.TB
	address, folder, sidecar string
	client                   *minio.Client
	process                  *exec.Cmd
	output                   bytes.Buffer
}

func newS3Gateway(t testing.TB) *s3Gateway {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	g := &s3Gateway{TB: t, address: address, folder: t.TempDir(), sidecar: t.TempDir()}
	g.client, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(testKeys.Access, testKeys.Secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(g.kill)
	if err := g.client.MakeBucket(context.Background(), "files", minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("%v\n%s", err, &g.output)
	}
	return g
}

// start starts the server and waits until it answers.
func (g *s3Gateway) start() {
	g.Helper()
	g.process = exec.Command(os.Getenv("VERSITYGW"), "--port", g.address, "--access", testKeys.Access, "--secret", testKeys.Secret, "posix", "--sidecar", g.sidecar, g.folder)
	g.process.Stdout, g.process.Stderr = &g.output, &g.output
	if err := g.process.Start(); err != nil {
		g.Fatal(err)
	}
	(&crmtest.Env{TB: g.TB}).Eventually("the S3 server answers", func() bool {
		_, err := g.client.ListBuckets(context.Background())
		return err == nil
	})
}

func (g *s3Gateway) kill() {
	_ = g.process.Process.Kill()
	_ = g.process.Wait()
}

func (g *s3Gateway) objects() (n int) {
	g.Helper()
	for o := range g.client.ListObjects(context.Background(), "files", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			g.Fatal(o.Err)
		}
		n++
	}
	return n
}

func (g *s3Gateway) store() string {
	store, err := attachment.ParseStore("s3://files/desk?endpoint=" + url.QueryEscape("http://"+g.address) + "&region=us-east-1")
	if err != nil {
		g.Fatal(err)
	}
	return store
}

// TestRealServerS3 uploads to a real server, reads whole files and ranges, moves them
// there and away with the server killed in between, and removes them.
func TestRealServerS3(t *testing.T) {
	g := newS3Gateway(t)
	d := newTestEnv(t, func(c *attachment.Config) { c.S3 = testKeys })
	who := d.User("customer")
	contents := map[string][]byte{}
	var files []file
	for i := range 30 {
		content := random(1000 + 40_000*i)
		f := d.upload(who, "a.bin", content)
		files, contents[f.SHA256] = append(files, f), content
	}
	whole := func() {
		t.Helper()
		for _, f := range files {
			if got := d.content(who, f); got.Code != 200 || !bytes.Equal(got.Body, contents[f.SHA256]) {
				t.Fatalf("file of %d bytes: %d, %d bytes", f.Size, got.Code, len(got.Body))
			}
		}
	}
	moveInterrupted(t, d, g, g.store())
	whole()
	last := files[len(files)-1]
	if got := d.content(who, last, "Range", "bytes=300000-300009").Want(206); !bytes.Equal(got.Body, contents[last.SHA256][300000:300010]) {
		t.Error("other bytes of a range")
	}
	moveInterrupted(t, d, g, "file://"+t.TempDir())
	whole()
	if n := g.objects(); n != 0 {
		t.Errorf("%d objects are left in the bucket", n)
	}

	direct := newTestEnv(t, func(c *attachment.Config) { c.Store, c.S3 = g.store(), testKeys })
	who = direct.User("customer")
	content := random(5 << 20)
	var all sync.WaitGroup
	uploaded := make([]file, 8)
	for i := range uploaded {
		all.Go(func() { uploaded[i] = direct.upload(who, "b.bin", append([]byte{byte(i)}, content...)) })
	}
	all.Wait()
	for i, f := range uploaded {
		if got := direct.content(who, f).Want(200); got.Body[0] != byte(i) || !bytes.Equal(got.Body[1:], content) {
			t.Error("other bytes come back")
		}
	}
	direct.remove(uploaded...)
	direct.purge()
	if n := g.objects(); n != 0 {
		t.Errorf("%d objects are left in the bucket", n)
	}
}

// moveInterrupted moves all files to a store. The server is killed meanwhile, which fails
// the next file, and the move is begun again.
func moveInterrupted(t *testing.T, d *testEnv, g *s3Gateway, to string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done, err := d.files.Move(ctx, to, func(m attachment.Moved) {
		switch {
		case m.Failed > 0:
			cancel()
		case m.Files == 10:
			g.kill()
		}
	})
	if err == nil || done.Files != 10 || done.Failed == 0 {
		t.Errorf("without the server: %+v, %v", done, err)
	}
	g.start()
	rest, err := d.files.Move(t.Context(), to, func(attachment.Moved) {})
	if err != nil || rest.Failed > 0 {
		t.Errorf("%+v, then %+v, %v", done, rest, err)
	}
	d.purge()
	if n := crmtest.Get[int](d.Env, `select count(*) from attachment_contents where store <> $1`, to); n != 0 {
		t.Errorf("%d contents were not moved", n)
	}
	d.Advance(25 * time.Hour)
	d.Exec(`update attachments set created_at = $1`, d.Now())
	d.purge()
}
