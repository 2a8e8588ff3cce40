package obs

import (
	"os"
	"runtime/debug"
)

// gcPercent is by how much the heap grows until it is collected.
const gcPercent = 50

// SaveMemory makes the process collect garbage when its heap has grown by half,
// instead of when it has doubled, unless GOGC is set.
func SaveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
