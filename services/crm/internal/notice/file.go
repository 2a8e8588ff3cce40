package notice

import (
	"fmt"

	"github.com/google/uuid"
)

// Attachable returns the files that the mail of a notice may have with it: those of a
// public comment, and to the engineer those of the ticket, unless the mail has no text
// since the address is not verified. All are attached, or none.
func Attachable(n Notice, links Links) []File {
	var to Person
	var files []File
	switch n := n.(type) {
	case TicketCommented:
		if n.Internal {
			return nil
		}
		to, files = n.To, n.Files
	case TicketAssigned:
		to, files = n.To, n.Files
	}
	if to.Unverified && links.VerifiedOnly {
		return nil
	}
	for _, f := range files {
		if f.ID == uuid.Nil {
			return nil
		}
	}
	return files
}

// Attached returns the notice for a mail that has its Attachable files with it, so
// that its text says so.
func Attached(n Notice) Notice {
	switch n := n.(type) {
	case TicketCommented:
		n.attached = true
		return n
	case TicketAssigned:
		n.attached = true
		return n
	}
	return n
}

// fileNames names files, and where they are.
func fileNames(files []File, attached bool) []string {
	if len(files) == 0 {
		return nil
	}
	text := "Files, which are on the ticket's page:"
	if attached {
		text = "Files, which are attached to this mail:"
	}
	for _, f := range files {
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
