// Package filecopy copies files and trees as tar streams between a person's machine and a container, either side hostile to the other.
//
// Owns: what a tree becomes in a stream, holes of sparse files included; where a stream's files go; that none goes elsewhere.
// In: a path and the name its tree has in the stream; a stream of a side that is not trusted.
// Out: a tar stream as GNU tar reads it; files, each whole or not there; complaints about what can't be copied.
// Never: writes outside the named place or through a link of the stream, makes a device, or leaves a part of a file under its name.
//
// In a stream all names are the agreed one or below it: a file "a.txt", a directory "site" and "site/index.html", or "." and "./index.html"
// for what a directory holds without the directory itself.
package filecopy

import "fmt"

// Contents is the agreed name when what a directory holds is copied, and not the directory itself.
const Contents = "."

// Any is the agreed name when a stream may have names of its own: one that a person made by other means.
const Any = ""

// Options of both directions; the zero value is what a person's machine wants of a container.
type Options struct {
	Owners bool // numbers of users and groups as in the stream; else whoever runs this
	Exact  bool // modes as in the stream, set-uid and the like too; else permissions only, as the umask allows
	// OneDevice: of what is mounted below a tree only the place itself is packed, not what is in it.
	OneDevice bool
	// Complain hears of each thing that is left out, and why; nil: nobody does. The rest is copied all the same.
	Complain func(text string)
}

// complaints counts them.
type complaints struct {
	to func(string)
	n  int
}

func (c *complaints) say(format string, args ...any) {
	c.n++
	if c.to != nil {
		c.to(fmt.Sprintf(format, args...))
	}
}

// Copied is what was done.
type Copied struct {
	Files   int   // files, directories and links
	Bytes   int64 // of files, holes included
	LeftOut int   // how often Complain was called
}
