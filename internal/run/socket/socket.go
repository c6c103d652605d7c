// Package socket opens the Unix sockets that a host's programs ask each other on.
//
// Owns: that a socket is there with its rights, or not at all.
// In: a path, and the group that may connect besides root.
// Out: a listener.
// Never: brings net/http with it: PID 1 listens here too.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Listen opens the socket at path for root and for the group; 0: for no group. One that was there before is replaced at once: whoever
// connects finds the old one or this one, never one that is not for it yet.
func Listen(path string, group int) (net.Listener, error) {
	aside := path + ".new"
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %q: %v", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: aside, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %v", path, err)
	}
	l.SetUnlinkOnClose(false) // the next one of this path may be there by then
	mode := os.FileMode(0o600)
	if group != 0 {
		mode, err = 0o660, os.Chown(aside, 0, group)
	}
	if err := errors.Join(err, os.Chmod(aside, mode), os.Rename(aside, path)); err != nil {
		l.Close()
		os.Remove(aside) // what is left of it is replaced by the next one
		return nil, fmt.Errorf("listen on %q: %v", path, err)
	}
	return l, nil
}
