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

// next returns the first task, and waits for one when there is none; false when
// the backlog is closed and empty. Without bulk it leaves bulk mails to other
// workers.
func (b *backlog) next(bulk bool) (task, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if len(b.tasks) > 0 && (bulk || b.tasks[0].priority <= 0) { // bulk mails are the last
			t := b.tasks[0]
			b.tasks = b.tasks[1:]
			return t, true
		}
		if b.closed {
			return task{}, false
		}
		b.more.Wait()
	}
}

// close lets next return false once the tasks are taken.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.more.Broadcast()
}
