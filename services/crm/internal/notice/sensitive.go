package notice

import "slices"

// SensitiveKinds are the kinds whose mail contains a secret, such as a token.
// Their mail is posted as sensitive, and their stored facts are erased once it is
// posted.
var SensitiveKinds = []string{KindPasswordReset, KindEmailVerification, KindInvitation}

// IsSensitive reports whether the kind is one of SensitiveKinds.
func IsSensitive(kind string) bool { return slices.Contains(SensitiveKinds, kind) }
