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
	tasks  []task
	files  int // mails with attachments that are being sent
	closed bool
}

func newBacklog() *backlog {
	b := &backlog{}
	b.more = sync.NewCond(&b.mu)
	return b
}

// add adds tasks. It never blocks.
func (b *backlog) add(tasks ...task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks = append(b.tasks, tasks...)
	slices.SortStableFunc(b.tasks, func(x, y task) int { return x.place.Compare(y.place) })
	b.more.Broadcast()
}

// maxWithFiles is how many mails with attachments are sent at a time, since each needs
// several times the size of its files in memory.
const maxWithFiles = 2

// next returns the first task, and waits for one when there is none; false when
// the backlog is closed and empty. Without bulk it leaves bulk mails to other
// workers. While as many mails with attachments are being sent as may be, it returns
// only others. Call ended when the task's mail was sent.
func (b *backlog) next(bulk bool) (task, bool) {
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
			return task{}, false
		}
		b.more.Wait()
	}
}

// ended lets the next mail with attachments be sent.
func (b *backlog) ended(t task) {
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
