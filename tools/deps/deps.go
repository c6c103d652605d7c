// Package deps is the check of the machine behind `make deps`.
//
// Owns: deps.sh, which is a shell script because Go may be what is missing.
// In: the machine.
// Out: what is wrong and the next step; missing Debian packages installed.
// Never: is imported; the package holds only the script's test.
package deps
