package outbox

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

const (
	saysAttached = "attached to this mail:\nphoto.png ("
	saysLinked   = "on the ticket's page:\nphoto.png ("
)

// withFiles is a comment with n files of the same size.
func withFiles(n int, size int64) notice.TicketCommented {
	c := comment(uuid.Must(uuid.NewV7()), 1)
	for range n {
		c.Files = append(c.Files, notice.File{ID: uuid.New(), Name: "photo.png", Size: size})
	}
	return c
}

// readable returns a picture for each id.
func readable(_ context.Context, ids []uuid.UUID) ([]notifyapi.Attachment, error) {
	files := make([]notifyapi.Attachment, len(ids))
	for i, id := range ids {
		files[i] = notifyapi.Attachment{Filename: "photo.png", MediaType: "image/png", Content: id[:]}
	}
	return files, nil
}

func (o *testEnv) addComment(n notice.TicketCommented) {
	o.Helper()
	if err := Add(o.Context(), o.q, noon, n.ID, n); err != nil {
		o.Fatal(err)
	}
}

func TestMailOfAPublicCommentHasItsFilesWithIt(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	o.dispatcher.files = readable
	c := withFiles(notifyapi.MaxAttachments, notifyapi.MaxAttachmentBytes/notifyapi.MaxAttachments)
	o.addComment(c)
	o.once()
	o.want("done_at is not null", 1)
	r := o.service.seen()[0].request
	if len(r.Attachments) != len(c.Files) || !strings.Contains(r.Text, saysAttached) {
		t.Fatalf("%d files, text %q", len(r.Attachments), r.Text)
	}
	for i, f := range r.Attachments {
		if id := c.Files[i].ID; !bytes.Equal(f.Content, id[:]) || f.MediaType != "image/png" || f.Filename != "photo.png" {
			t.Errorf("file %d: %+v", i, f)
		}
	}
}

func TestFilesThatMustNotBeMailedAreLinked(t *testing.T) {
	t.Parallel()
	refused := func(context.Context, []uuid.UUID) ([]notifyapi.Attachment, error) { return nil, nil }
	broken := func(context.Context, []uuid.UUID) ([]notifyapi.Attachment, error) {
		return nil, errors.New("the store is away")
	}
	internal, old := withFiles(1, 10), withFiles(1, 10)
	internal.Internal = true
	old.Files[0].ID = uuid.Nil
	for name, tc := range map[string]struct {
		comment notice.TicketCommented
		files   Files
	}{
		"more than 5 MiB":              {withFiles(2, notifyapi.MaxAttachmentBytes/2+1), readable},
		"more than the service takes":  {withFiles(notifyapi.MaxAttachments+1, 1), readable},
		"internal":                     {internal, readable},
		"written by an older release":  {old, readable},
		"removed, infected or pending": {withFiles(1, 10), refused},
		"store away":                   {withFiles(1, 10), broken},
		"nothing reads files":          {withFiles(1, 10), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTestEnv(t)
			o.dispatcher.files = tc.files
			o.addComment(tc.comment)
			o.once()
			o.want("done_at is not null", 1)
			if r := o.service.seen()[0].request; len(r.Attachments) > 0 || !strings.Contains(r.Text, saysLinked) {
				t.Errorf("%d files, text %q", len(r.Attachments), r.Text)
			}
		})
	}
}

func TestUnverifiedAddressGetsNoFile(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	o.dispatcher.files, o.dispatcher.links.VerifiedOnly = readable, true
	c := withFiles(1, 10)
	c.To.Unverified = true
	o.addComment(c)
	o.once()
	if r := o.service.seen()[0].request; len(r.Attachments) > 0 {
		t.Errorf("%d files", len(r.Attachments))
	}
}

func TestMailWhoseFilesTheServiceRefusesIsPostedWithoutThem(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	o.dispatcher.files = readable
	o.addComment(withFiles(1, 10))
	o.service.script(func(_ int, p post, w http.ResponseWriter) {
		if len(p.request.Attachments) > 0 {
			refuse(w, http.StatusUnprocessableEntity, "validation_failed")
			return
		}
		accept(w)
	})
	o.once()
	o.want("done_at is not null and attempts = 1", 1)
	posts := o.service.seen()
	if len(posts) != 2 || posts[0].key != posts[1].key || !strings.Contains(posts[1].request.Text, saysLinked) {
		t.Errorf("%d posts: %+v", len(posts), posts)
	}
}

// TestFilesThatChangeAfterALostAnswerDontMailTwice loses the answer to the first post;
// then the comment is removed. The service keeps the first request of a key.
func TestFilesThatChangeAfterALostAnswerDontMailTwice(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	o.dispatcher.files = readable
	o.addComment(withFiles(1, 10))
	var stored []byte
	accepted := 0
	o.service.script(func(_ int, p post, w http.ResponseWriter) { // posts come one after the other
		switch {
		case stored == nil:
			stored = p.body
			accepted++
			accept(w)
		case bytes.Equal(stored, p.body):
			accept(w)
		default:
			refuse(w, http.StatusUnprocessableEntity, "idempotency_mismatch")
		}
	})
	entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{
		Token: uuid.New(), LeaseSeconds: lease.Seconds(), Patience: blockingAttempts, Batch: batchSize,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.dispatcher.postAll(t.Context(), entries) // accepted, and never settled
	o.dispatcher.files = nil
	o.due()
	o.once()
	o.want("done_at is not null", 1)
	if posts := o.service.seen(); len(posts) != 2 || accepted != 1 || bytes.Equal(posts[0].body, posts[1].body) {
		t.Errorf("%d posts, %d accepted", len(posts), accepted)
	}
}

// peak counts how many calls are under way, and waits in each until want of them are.
type peak struct {
	mu         sync.Mutex
	now, most  int
	want       int
	wantedOnce chan struct{}
}

func (p *peak) files(ctx context.Context, ids []uuid.UUID) ([]notifyapi.Attachment, error) {
	p.mu.Lock()
	p.now++
	p.most = max(p.most, p.now)
	if p.now == p.want {
		close(p.wantedOnce)
		p.want = 0
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.now--
		p.mu.Unlock()
	}()
	select {
	case <-p.wantedOnce:
	case <-ctx.Done():
	}
	return readable(ctx, ids)
}

func (o *testEnv) postMany(want int) (most int) {
	o.Helper()
	p := &peak{want: want, wantedOnce: make(chan struct{})}
	o.dispatcher.files = p.files
	for range 3 * concurrency {
		o.addComment(withFiles(1, 10))
	}
	o.eventually("all posted", func() bool {
		o.once()
		return o.count("done_at is null") == 0
	})
	return p.most
}

func TestAtMostTwoMailsWithFilesArePostedAtATime(t *testing.T) {
	t.Parallel()
	if most := newTestEnv(t).postMany(maxWithFiles); most > maxWithFiles {
		t.Errorf("%d at a time", most)
	}
}

// The control of the test above: with more slots, more are.
func TestControlWithMoreSlotsMoreMailsWithFilesArePostedAtATime(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	o.dispatcher.slots = make(chan struct{}, concurrency)
	if most := o.postMany(maxWithFiles + 1); most <= maxWithFiles {
		t.Errorf("%d at a time", most)
	}
}

func TestStoreThatHangsDelaysMailsOnce(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	var asked atomic.Int32
	o.dispatcher.files = func(ctx context.Context, _ []uuid.UUID) ([]notifyapi.Attachment, error) {
		asked.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for range 3 {
		o.addComment(withFiles(1, 10))
		o.once()
	}
	o.want("done_at is not null", 3)
	if n := asked.Load(); n != 1 {
		t.Errorf("read %d times", n)
	}
	o.dispatcher.linked.Store(false)
	o.dispatcher.files = readable
	o.addComment(withFiles(1, 10))
	o.once()
	posts := o.service.seen()
	if len(posts) != 4 || len(posts[2].request.Attachments) != 0 || len(posts[3].request.Attachments) != 1 {
		t.Errorf("%d posts: %+v", len(posts), posts)
	}
}

// The control of the test above: a store that answers at once is asked each time.
func TestStoreThatRefusesAtOnceIsAskedAgain(t *testing.T) {
	t.Parallel()
	o := newTestEnv(t)
	asked := 0
	o.dispatcher.files = func(context.Context, []uuid.UUID) ([]notifyapi.Attachment, error) {
		asked++
		return nil, errors.New("the content is damaged")
	}
	for range 3 {
		o.addComment(withFiles(1, 10))
		o.once()
	}
	o.want("done_at is not null", 3)
	if asked != 3 {
		t.Errorf("read %d times", asked)
	}
}
