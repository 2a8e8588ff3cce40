package pg

// What the tests of this package call by name.
var (
	RetryLocked = retryLocked
	CallTimeout = callTimeout
)
