package ticket

// Folding is the version of the rules that make the search words of tickets and
// comments: 1 is text.Words. A change of the rules needs a new version, here and
// in the partial indexes of the rows that are to be folded again.
const Folding int16 = 1
