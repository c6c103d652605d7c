package progress

// Rename is what gives an environment another name, and Transfer what gives it to another account. They are no operations: they are done at
// once.
const (
	Rename   = "env.rename"
	Transfer = "env.transfer"
)
