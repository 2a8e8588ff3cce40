package notice

import (
	"fmt"

	"github.com/google/uuid"
)

// Attachable returns the files that the mail of a notice may have with it: those of a
// public comment, unless the mail has no text since the address is not verified. All
// are attached, or none.
func Attachable(n Notice, links Links) []File {
	c, ok := n.(TicketCommented)
	if !ok || c.Internal || c.To.Unverified && links.VerifiedOnly {
		return nil
	}
	for _, f := range c.Files {
		if f.ID == uuid.Nil {
			return nil
		}
	}
	return c.Files
}

// Attached returns the notice for a mail that has its Attachable files with it, so
// that its text says so.
func Attached(n Notice) Notice {
	if c, ok := n.(TicketCommented); ok {
		c.attached = true
		return c
	}
	return n
}

// fileNames names the files of a comment, and where they are.
func (n TicketCommented) fileNames() []string {
	if len(n.Files) == 0 {
		return nil
	}
	text := "Files, which are on the ticket's page:"
	if n.attached {
		text = "Files, which are attached to this mail:"
	}
	for _, f := range n.Files {
		text += "\n" + line(f.Name) + " (" + size(f.Size) + ")"
	}
	return []string{text}
}

// size is a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1_000_000:
		return fmt.Sprintf("%d kB", (bytes+500)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}
