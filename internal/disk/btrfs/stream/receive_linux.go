package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// Target is where a stream's subvolume is made.
type Target struct {
	Dir  *os.File // that nobody else writes to
	Name string
	// Parent is the read-only subvolume that the stream goes on from; nil: the stream must be whole.
	Parent *os.File
	// Prepare is called with the new subvolume before the stream has written anything to it: its quota is set there. nil: nothing is.
	Prepare func(*os.File) error
	Rules   Rules
}

// ErrParent: the stream goes on from another subvolume than the one that is there, or begins anew where one is.
var ErrParent = errors.New("the stream does not go on from what is there")

// Apply has a writable subvolume, which nobody else writes to, become what a stream says, and reads no byte behind it. at is what the
// subvolume holds; zero: nothing, and the stream must be whole. After an error it is neither what it was nor what it should be.
func Apply(ctx context.Context, r io.Reader, subvol *os.File, at btrfs.Identity, rules Rules) (btrfs.Identity, error) {
	in, err := NewReader(r)
	if err != nil {
		return at, err
	}
	var first Command
	if err := in.Next(&first); err != nil {
		return at, err
	}
	if err := begin(&first, at); err != nil {
		return at, err
	}
	a := applier{top: subvol, own: first.Own, rules: rules}
	return first.Own, a.all(ctx, in)
}

// Receive makes a read-only subvolume of a stream, and reads no byte behind it. It is on the disk when Receive returns; after an error
// nothing is left.
func Receive(ctx context.Context, r io.Reader, t Target) (id btrfs.Identity, err error) {
	fail := func(err error) (btrfs.Identity, error) {
		return id, fmt.Errorf("receive subvolume %q: %w", t.Name, err)
	}
	in, err := NewReader(r)
	if err != nil {
		return fail(err)
	}
	var first Command
	if err := in.Next(&first); err != nil {
		return fail(err)
	}
	a := applier{parent: t.Parent, own: first.Own, rules: t.Rules}
	if t.Parent != nil {
		if a.from, err = btrfs.SubvolumeIdentity(t.Parent); err != nil {
			return fail(err)
		}
	}
	if err := begin(&first, a.from); err != nil {
		return fail(err)
	}
	if t.Parent == nil {
		err = btrfs.CreateSubvolume(t.Dir, t.Name)
	} else {
		err = btrfs.Snapshot(t.Parent, t.Dir, t.Name, false)
	}
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, btrfs.DeleteSubvolume(t.Dir, t.Name))
		}
	}()
	fd, err := unix.Openat(int(t.Dir.Fd()), t.Name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	a.top = os.NewFile(uintptr(fd), t.Name)
	defer a.top.Close()
	if t.Prepare != nil {
		if err := t.Prepare(a.top); err != nil {
			return fail(err)
		}
	}
	if err := a.all(ctx, in); err != nil {
		return fail(err)
	}
	if err := unix.Syncfs(fd); err != nil { // tells of what could not be written
		return fail(err)
	}
	if err := btrfs.SetReceived(a.top, a.own); err != nil {
		return fail(err)
	}
	if err := btrfs.Sync(t.Dir); err != nil {
		return fail(err)
	}
	return a.own, nil
}

// begin checks a stream's first command against what is there; zero: nothing is.
func begin(first *Command, at btrfs.Identity) error {
	switch {
	case first.Kind == Subvol && at == (btrfs.Identity{}):
		return nil
	case first.Kind == Subvol:
		return fmt.Errorf("%w: it is whole", ErrParent)
	case first.Kind != Snapshot:
		return fmt.Errorf("%w: it begins with command %d", ErrBroken, first.Kind)
	case at == (btrfs.Identity{}):
		return fmt.Errorf("%w: it goes on from subvolume %s", ErrParent, first.From.UUID)
	case at != first.From:
		return fmt.Errorf("%w: it goes on from subvolume %s of change %d, and there is %s of change %d", ErrParent, first.From.UUID,
			first.From.Transid, at.UUID, at.Transid)
	}
	return nil
}
