package delivery

import (
	"slices"
	"sync"
)

// backlog holds claimed recipients until a worker takes them, in the order of
// their places in the queue, so that an urgent one that is claimed later is sent
// before the others.
type backlog struct {
	mu     sync.Mutex
	more   *sync.Cond
	tasks  []*task
	files  int    // mails with attachments that are being sent
	idle   [2]int // workers that wait for any task, and those that wait for one that is not bulk
	closed bool
}

func newBacklog() *backlog {
	b := &backlog{}
	b.more = sync.NewCond(&b.mu)
	return b
}

// add adds tasks. It never blocks.
func (b *backlog) add(tasks ...*task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks = append(b.tasks, tasks...)
	slices.SortStableFunc(b.tasks, func(x, y *task) int { return x.place.Compare(y.place) })
	b.more.Broadcast()
}

// maxWithFiles is how many mails with attachments are sent at a time, since each needs
// several times the size of its files in memory.
const maxWithFiles = 2

// next returns the first task, and waits for one when there is none; false when
// the backlog is closed and empty. Without bulk it leaves bulk mails to other
// workers. While as many mails with attachments are being sent as may be, it returns
// only others. Call ended when the task's mail was sent.
func (b *backlog) next(bulk bool) (*task, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for i, t := range b.tasks {
			if !bulk && t.priority > 0 { // bulk mails are the last
				break
			}
			if t.files > 0 && b.files == maxWithFiles {
				continue
			}
			if t.files > 0 {
				b.files++
			}
			b.tasks = slices.Delete(b.tasks, i, i+1)
			return t, true
		}
		if b.closed {
			return nil, false
		}
		b.wait(bulk)
	}
}

// wait waits for a change, and counts the worker as idle meanwhile.
func (b *backlog) wait(bulk bool) {
	kind := 0
	if !bulk {
		kind = 1
	}
	b.idle[kind]++
	b.more.Wait()
	b.idle[kind]--
}

// following returns the first task for a worker that still sends another mail; false
// when there is none, another worker is idle and can take it, or it has content that
// is still to be fetched. It never blocks.
func (b *backlog) following(bulk bool) (*task, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.tasks) == 0 {
		return nil, false
	}
	t := b.tasks[0]
	isBulk := t.priority > 0
	if isBulk && !bulk || b.idle[0] > 0 || b.idle[1] > 0 && !isBulk || t.large || t.files > 0 || t.done != nil {
		return nil, false
	}
	b.tasks = slices.Delete(b.tasks, 0, 1)
	return t, true
}

// ended lets the next mail with attachments be sent.
func (b *backlog) ended(t *task) {
	if t.files == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files--
	b.more.Broadcast()
}

// close lets next return false once the tasks are taken.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.more.Broadcast()
}
