// Package attachment keeps the files that people add to tickets and comments: it
// receives them, stores equal contents once, lets those read them who may read
// the ticket or comment, has them scanned, and removes what nothing refers to.
//
// It must not decide who may read a ticket: that is passed to it as a function.
package attachment

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// Most is how many files a ticket or comment is created with at most.
	Most = 10
	// DefaultMax is the default of the largest file, in bytes: 25 MiB.
	DefaultMax = 25 << 20

	// chunkSize is the size in bytes of the parts in which PostgreSQL has a file.
	chunkSize = 256 << 10

	// keptUnattached is how long a file is kept that belongs to no ticket.
	keptUnattached = 24 * time.Hour
	// quotaSpan is the time in which a person may upload as much as the quota.
	quotaSpan = 24 * time.Hour
	// linkLifetime is how long a signed URL is valid.
	linkLifetime = 5 * time.Minute
)

// Scan is what the scanner for malware said about a file.
type Scan string

// The results of a scan, as in the database and in JSON.
const (
	ScanOff      Scan = "off" // stored while no scanner was configured
	ScanPending  Scan = "pending"
	ScanClean    Scan = "clean"
	ScanInfected Scan = "infected"
)

// Scans are all results of a scan. Don't modify.
var Scans = []Scan{ScanOff, ScanPending, ScanClean, ScanInfected}

// Attachment is a file that somebody uploaded. It belongs to a ticket, to a comment
// on one, or to nothing yet.
type Attachment struct {
	ID        uuid.UUID
	OwnerID   uuid.UUID // who uploaded it
	Filename  string    // as of text.FileName
	MediaType string    // what the bytes are, with its parameters
	Size      int64     // in bytes
	SHA256    []byte
	Scan      Scan
	CreatedAt time.Time

	TicketID  *uuid.UUID // nil while it belongs to nothing
	CommentID *uuid.UUID // nil unless it belongs to a comment
	Internal  bool       // the comment is for staff alone

	place place
}

// place is where a content is kept: an object of a store.
type place struct {
	store  string
	object uuid.UUID
}

// essence is a media type without its parameters.
func essence(mediaType string) string {
	media, _, _ := strings.Cut(mediaType, ";")
	return strings.TrimSpace(media)
}

// inlineTypes are what a browser may show: raster images and plain text.
var inlineTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "text/plain"}

// inline reports whether a browser may show content of a type instead of saving it.
func inline(mediaType string) bool { return slices.Contains(inlineTypes, essence(mediaType)) }

// servedType is the Content-Type of a file: its type, unless a browser could run it as
// a page or a script.
func servedType(mediaType string) string {
	media := essence(mediaType)
	group, _, _ := strings.Cut(media, "/")
	switch {
	case inline(mediaType):
		return mediaType
	case group == "text", strings.HasSuffix(media, "xml"), strings.Contains(media, "html"), strings.Contains(media, "script"):
		return "application/octet-stream"
	}
	return mediaType
}

// disposition is the Content-Disposition of a file (RFC 6266, with RFC 8187).
func disposition(filename, mediaType string) string {
	kind := "attachment"
	if inline(mediaType) {
		kind = "inline"
	}
	fallback := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%`, r) {
			return '_'
		}
		return r
	}, filename)
	header := kind + `; filename="` + fallback + `"`
	if fallback != filename {
		header += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(filename), "+", "%20")
	}
	return header
}
