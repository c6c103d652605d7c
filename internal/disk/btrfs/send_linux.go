package btrfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures of include/uapi/linux/btrfs.h for sending and receiving.
type (
	timespec struct { // struct btrfs_ioctl_timespec
		sec  uint64
		nsec uint32
		_    uint32
	}
	sendArgs struct { // struct btrfs_ioctl_send_args
		fd      int64
		clones  uint64
		sources uintptr
		parent  uint64
		flags   uint64
		version uint32
		unused  [28]byte
	}
	receivedArgs struct { // struct btrfs_ioctl_received_subvol_args
		uuid               [16]byte
		stransid, rtransid uint64
		stime, rtime       timespec
		flags              uint64
		unused             [16]uint64
	}
	subvolInfoArgs struct { // struct btrfs_ioctl_get_subvol_info_args
		tree                                   uint64
		name                                   [256]byte
		parent, dir, generation, flags         uint64
		uuid, parentUUID, receivedUUID         [16]byte
		ctransid, otransid, stransid, rtransid uint64
		ctime, otime, stime, rtime             timespec
		unused                                 [8]uint64
	}
)

const (
	subvolGetFlags = read | 8<<16 | magic | 25                                     // BTRFS_IOC_SUBVOL_GETFLAGS
	subvolSetFlags = write | 8<<16 | magic | 26                                    // BTRFS_IOC_SUBVOL_SETFLAGS
	setReceived    = read | write | unsafe.Sizeof(receivedArgs{})<<16 | magic | 37 // BTRFS_IOC_SET_RECEIVED_SUBVOL
	send           = write | unsafe.Sizeof(sendArgs{})<<16 | magic | 38            // BTRFS_IOC_SEND
	subvolInfo     = read | unsafe.Sizeof(subvolInfoArgs{})<<16 | magic | 60       // BTRFS_IOC_GET_SUBVOL_INFO

	sendVersion    = 1 << 3 // BTRFS_SEND_FLAG_VERSION
	streamVersion  = 2
	subvolReadOnly = 1 << 1 // BTRFS_SUBVOL_RDONLY
)

// SubvolumeIdentity is a subvolume's, as Send writes it (BTRFS_IOC_GET_SUBVOL_INFO).
func SubvolumeIdentity(subvol *os.File) (Identity, error) {
	var a subvolInfoArgs
	if _, err := ask(subvol, subvolInfo, unsafe.Pointer(&a)); err != nil {
		return Identity{}, fmt.Errorf("look at subvolume %q: %w", subvol.Name(), err)
	}
	if a.receivedUUID != (UUID{}) {
		return Identity{a.receivedUUID, a.stransid}, nil
	}
	return Identity{a.uuid, a.ctransid}, nil
}

// SetReceived says of a subvolume what it was received as (BTRFS_IOC_SET_RECEIVED_SUBVOL), and makes it read-only: from then on streams
// may begin from it.
func SetReceived(subvol *os.File, as Identity) error {
	a := receivedArgs{uuid: as.UUID, stransid: as.Transid}
	if err := do(subvol, setReceived, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("name what subvolume %q was received as: %w", subvol.Name(), err)
	}
	return SetReadOnly(subvol)
}

// SetReadOnly makes a subvolume read-only (BTRFS_IOC_SUBVOL_SETFLAGS).
func SetReadOnly(subvol *os.File) error {
	var flags uint64
	err := do(subvol, subvolGetFlags, unsafe.Pointer(&flags))
	if err == nil {
		flags |= subvolReadOnly
		err = do(subvol, subvolSetFlags, unsafe.Pointer(&flags))
	}
	if err != nil {
		return fmt.Errorf("make subvolume %q read-only: %w", subvol.Name(), err)
	}
	return nil
}

// Send writes a stream of version 2 to w (BTRFS_IOC_SEND): what a read-only subvolume holds, or, with parent, what has to be done to that
// read-only subvolume, from which it was snapshot, to have the same. It ends early with ctx, or when w fails.
func Send(ctx context.Context, subvol, parent *os.File, w io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("send subvolume %q: %w", subvol.Name(), err) }
	a := sendArgs{flags: sendVersion, version: streamVersion}
	if parent != nil {
		var err error
		if a.parent, err = subvolumeID(parent); err != nil {
			return fail(err)
		}
	}
	out, in, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	a.fd = int64(in.Fd()) // blocking from here on
	sent := make(chan error, 1)
	go func() {
		// A signal would have the kernel begin anew in the middle of the stream: this thread takes none, and ends with its goroutine,
		// since it is not unlocked.
		runtime.LockOSThread()
		var all unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^all.Val[i]
		}
		err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
		if err == nil {
			err = do(subvol, send, unsafe.Pointer(&a))
		}
		in.Close()
		sent <- err
	}()
	stop := context.AfterFunc(ctx, func() { out.Close() })
	_, werr := io.CopyBuffer(onlyWriter{w}, onlyReader{out}, make([]byte, 256<<10))
	stop()
	out.Close() // the kernel's next write fails, if there is one
	err = <-sent
	switch {
	case ctx.Err() != nil:
		return fail(context.Cause(ctx))
	case werr != nil:
		return fail(werr)
	case errors.Is(err, unix.EPERM):
		return fail(errors.New("it is not read-only"))
	case err != nil:
		return fail(err)
	}
	return nil
}

// onlyWriter and onlyReader keep io.CopyBuffer to its buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
