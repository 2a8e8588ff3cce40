package ticket

// Folding is the version of the rules by which the words of tickets and comments
// are made for the search: 1 is text.Words. A change of those rules raises it,
// and the migrations that make the indexes of what is to be folded again.
const Folding int16 = 1
