package jwtauth

// Cached returns the number of cached tokens.
func (v *Verifier) Cached() int {
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	return len(v.cache.young) + len(v.cache.old)
}

// VerifyUncached is Verify without the cache.
func (v *Verifier) VerifyUncached(token string) (Claims, error) {
	claims, _, _, err := v.verify(token)
	return claims, err
}

// LimitCache makes the generations of the cache smaller.
func (v *Verifier) LimitCache(size int) { v.cache.size = size }
