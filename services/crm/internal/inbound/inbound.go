// Package inbound turns mail that came in into tickets and comments. The
// notification service has received and stored the mail; this package decides what
// becomes of each, once, and acknowledges it.
package inbound
