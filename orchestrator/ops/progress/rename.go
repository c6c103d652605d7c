package progress

// Rename is what gives an environment another name. It is no operation: it is done at once.
const Rename = "env.rename"
