// Package hook runs the container's own programs before and after an action.
//
// Owns: where hooks are, as whom they run, how long they may.
// In: a root, the action, variables for the hook.
// Out: the end of what the hook wrote; an error if it failed.
// Never: runs a hook as root, or one that anybody but root or its owner may write.
package hook

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/jem"
)

// Dir is where hooks are, below the root: MODULE-ACTION.pre and .post, or MODULE.pre and .post for all actions of a module.
const Dir = "etc/jem/hooks"

// When is before or after, or in the middle of an action that builds something.
type When string

// The three.
const (
	Pre   When = "pre"
	Build When = "build"
	Post  When = "post"
)

// Within is how long one hook may take.
const Within = 5 * time.Minute

// nobody is who runs a hook that is root's own.
const nobody = 65534

// Call is what a hook is told.
type Call struct {
	Module, Action string
	Dir            string        // where it runs; "" is "/"
	Env            []string      // beside JEM_MODULE, JEM_ACTION and JEM_WHEN
	As             *program.User // who runs hooks that are root's; nil or root: nobody
}

// Run runs the hook if there is one.
func Run(ctx context.Context, root string, c Call, when When) (said string, err error) {
	for _, name := range []string{c.Module + "-" + c.Action, c.Module} {
		path := filepath.Join(root, Dir, name+"."+string(when))
		st, err := os.Lstat(path)
		if err != nil {
			continue
		}
		as, err := runner(st, c.As)
		if err != nil {
			return "", &jem.Error{Code: "denied", Reason: fmt.Sprintf("hook /%s/%s: %v", Dir, filepath.Base(path), err),
				Next: "correct the file, or take it away"}
		}
		within, cancel := context.WithTimeout(ctx, Within)
		defer cancel()
		env := append([]string{"JEM_MODULE=" + c.Module, "JEM_ACTION=" + c.Action, "JEM_WHEN=" + string(when)}, c.Env...)
		dir := c.Dir
		if dir == "" {
			dir = "/"
		}
		said, err = program.Run(within, program.Command{Path: path, Dir: dir, Env: env, As: as})
		if err != nil {
			return said, &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("hook /%s: %v", filepath.Join(Dir, filepath.Base(path)), err),
				Next: "see what it wrote, correct it, then try again"}
		}
		return said, nil
	}
	return "", nil
}

// runner is who runs the file: its owner; for one that is root's, who the action says, or nobody.
func runner(st os.FileInfo, as *program.User) (*program.User, error) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.Mode().IsRegular() || !ok:
		return nil, fmt.Errorf("is no regular file")
	case st.Mode()&0o111 == 0:
		return nil, fmt.Errorf("can't be executed: chmod +x")
	case st.Mode()&0o022 != 0:
		return nil, fmt.Errorf("can be written by others than its owner")
	case sys.Uid != 0:
		return &program.User{UID: sys.Uid, GID: sys.Gid}, nil
	case as != nil && as.UID != 0:
		return as, nil
	}
	return &program.User{UID: nobody, GID: nobody}, nil
}
