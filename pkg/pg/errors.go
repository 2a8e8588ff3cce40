package pg

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// SQLSTATE codes, PostgreSQL manual, appendix A.
const (
	protocolViolation    = "08P01"
	foreignKeyViolation  = "23503"
	uniqueViolation      = "23505"
	readOnlyTransaction  = "25006"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	tooManyConnections   = "53300"
	queryCanceled        = "57014" // statement_timeout
	lockNotAvailable     = "55P03" // lock_timeout
	undefinedTable       = "42P01"
)

// IsUnique reports whether err is the violation of the unique constraint or
// index of that name.
func IsUnique(err error, constraint string) bool {
	return violates(err, uniqueViolation, constraint)
}

// IsForeignKey reports whether err is the violation of the foreign key of that
// name.
func IsForeignKey(err error, constraint string) bool {
	return violates(err, foreignKeyViolation, constraint)
}

func violates(err error, code, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code && pgErr.ConstraintName == constraint
}

// unavailableCodes are the errors that pass without a change of the statement. A
// code of two characters is a whole class.
var unavailableCodes = []string{
	"08",    // connection exceptions
	"53",    // disk full, out of memory, too many connections
	"57P01", // an administrator ended the connection, or the server stops
	"57P02", // a crash of another session
	"57P03", // starting up, or recovering
	"57P05", // idle for too long
	"57014", // statement_timeout
	"55P03", // lock_timeout
	"25P03", // idle in transaction for too long
	"25P04", // the transaction took too long
	"25006", // read-only: a standby, or a primary with a full disk
	"40001", // serialization failure, after every try of Retry
	"40P01",
	"58030", // input/output error
}

// awayCodes are those of unavailableCodes that meet every session.
var awayCodes = []string{"08", "53", "57P01", "57P02", "57P03", "25006", "58030"}

// Away reports whether err certainly says that the database is down, starting, stopping,
// full or read-only.
func Away(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return !poolerRefuses(err) && slices.ContainsFunc(awayCodes, func(code string) bool { return strings.HasPrefix(pgErr.Code, code) })
	}
	var connectErr *pgconn.ConnectError
	return errors.As(err, &connectErr) || errors.Is(err, ErrReadOnly)
}

// ConnectionLost reports whether err says that a connection broke: one to the database,
// where there are no others.
func ConnectionLost(err error) bool {
	var pgErr *pgconn.PgError
	var netErr net.Error
	return !errors.As(err, &pgErr) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		(errors.As(err, &netErr) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed))
}

// Late reports whether err says that a time limit ended a call, on this side or by
// PostgreSQL's statement_timeout.
func Late(err error) bool {
	var pgErr *pgconn.PgError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &pgErr) && pgErr.Code == "57014"
}

// Unavailable reports whether err is temporary: the database is down, starting,
// stopping, full or too slow, the connection broke, the pool is closed or
// exhausted, or Retry failed. A call that its caller canceled (context.Canceled) is
// not.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) && !isPgError(err) {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		if poolerRefuses(err) {
			return false
		}
		for _, code := range unavailableCodes {
			if strings.HasPrefix(pgErr.Code, code) {
				return true
			}
		}
		return false
	}
	var connectErr *pgconn.ConnectError
	var netErr net.Error
	return errors.As(err, &connectErr) || errors.As(err, &netErr) ||
		pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ErrRetry) || errors.Is(err, ErrReadOnly) ||
		errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

func isPgError(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr)
}
