package obs

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercentMost is by how much any heap grows until it is collected, gcPercentLeast
	// by how much one does that is larger than SaveMemory allows, and gcPercentLarge by how
	// much one of at least largeHeap bytes does, largeGrowth at least. A heap between them
	// is that of a large answer, which must fit into the 64 MiB; larger ones are those of
	// thousands of connections, whose collections cost more.
	gcPercentMost, gcPercentLeast, gcPercentLarge = 400, 30, 50
	largeHeap, largeGrowth                        = 32 << 20, 48 << 20
)

// SaveMemory makes the process collect garbage when its heap has grown to heap bytes, a
// heap that is nearly as large by itself when it has grown by 30 %, and one of more than
// 32 MiB when it has grown by half or by 48 MiB, whichever is more, instead of when it has
// doubled; unless GOGC is set. Of the 64 MiB that a service may take, heap is what its
// program, its stacks and what the runtime keeps leave.
func SaveMemory(heap uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercentLeast)
	(&collector{heap: heap, percent: gcPercentLeast}).afterNext()
}

// collector sets the percentage anew after each collection.
type collector struct {
	heap    uint64
	percent int
	live    [1]metrics.Sample
}

// afterNext calls adjust after the next collection, which finds the new object unused.
func (c *collector) afterNext() {
	runtime.AddCleanup(new(*collector), func(c *collector) { c.adjust() }, c)
}

func (c *collector) adjust() {
	c.live[0].Name = "/gc/heap/live:bytes"
	metrics.Read(c.live[:])
	percent := gcPercent(c.heap, c.live[0].Value.Uint64())
	// Setting it stops the process for a moment, so a small difference isn't worth it.
	if difference := percent - c.percent; difference > c.percent/8 || difference < -c.percent/8 {
		debug.SetGCPercent(percent)
		c.percent = percent
	}
	c.afterNext()
}

// gcPercent is the percentage for a heap of which so many bytes are in use, and which may
// grow to so many.
func gcPercent(heap, live uint64) int {
	switch {
	case live >= largeHeap:
		return int(max(gcPercentLarge, 100*largeGrowth/live))
	case live >= heap:
		return gcPercentLeast
	}
	return int(min(max(100*(heap-live)/max(live, 1), gcPercentLeast), gcPercentMost))
}
