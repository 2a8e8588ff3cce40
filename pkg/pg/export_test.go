package pg

// RetryLocked is retryLocked.
var RetryLocked = retryLocked
