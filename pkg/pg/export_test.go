package pg

// SharedEarly is how many calls begin a second round.
const SharedEarly = sharedEarly

// Unexported functions for the tests of this package.
var (
	RetryLocked = retryLocked
	CallTimeout = callTimeout
)
