package ratelimit

import "time"

// WaitLonger has requests wait for a database that is slow, so that it doesn't count as
// one that doesn't answer.
func (l *Limiter) WaitLonger() { l.maxWait = 4 * time.Minute }
