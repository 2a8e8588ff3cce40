package pg

// Unexported functions for the tests of this package.
var (
	RetryLocked = retryLocked
	CallTimeout = callTimeout
)
