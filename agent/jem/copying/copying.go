// Package copying is the container's end of `hnctl node cp`: it packs what is asked for onto stdout, or unpacks stdin.
//
// Owns: the arguments and exit codes of `jem copy`.
// In: a path inside the container, the agreed name (internal/filecopy), a tar stream.
// Out: a tar stream; files; what was left out, and errors, as text on stderr.
// Never: prints a jem.Reply, or has more rights in the container than its root.
package copying

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"hardnode.dev/internal/filecopy"
)

// Module is the word after `jem`.
const Module = "copy"

// Exit codes. 2 is what a jem says that does not know this module.
const (
	exitDone    = 0
	exitFailed  = 1
	exitMisused = 3
	exitPartly  = 7 // done, but for what stderr names
)

const usage = "jem copy send|receive PATH NAME [owners] [follow]"

// Run is `jem copy`.
func Run(args []string, in io.Reader, out, errs io.Writer) int {
	o := filecopy.Options{Exact: true, Complain: func(text string) { fmt.Fprintln(errs, text) }}
	follow, known := false, len(args) >= 3 && args[1] != ""
	for _, word := range args[min(3, len(args)):] {
		switch word {
		case "owners":
			o.Owners = true
		case "follow":
			follow = true
		default:
			known = false
		}
	}
	if !known {
		fmt.Fprintln(errs, "jem: use", usage)
		return exitMisused
	}
	at := inside(args[1])
	var done filecopy.Copied
	var err error
	switch args[0] {
	case "send":
		if follow {
			if at, err = filepath.EvalSymlinks(at); err != nil {
				break
			}
		}
		done, err = filecopy.Pack(out, at, args[2], o)
	case "receive":
		if done, err = filecopy.Unpack(in, at, args[2], o); err == nil {
			_, err = io.Copy(io.Discard, in) // else the sender would see its last bytes refused
		}
	default:
		err = errors.New("use " + usage)
	}
	switch {
	case err != nil:
		fmt.Fprintln(errs, err)
		return exitFailed
	case done.LeftOut > 0:
		return exitPartly
	}
	return exitDone
}

// inside is a path as the container's root sees it, with the slash at its end that says a directory is meant.
func inside(p string) string {
	clean := path.Join("/", p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
