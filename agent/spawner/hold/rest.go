package hold

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/run"
)

// rest has the processes of a cgroup stand still until the peer closes its half of the connection, which a killed peer does too, this
// program is to end, or call.LongestRest has passed.
func (t *Table) rest(ctx context.Context, c *net.UnixConn, id string, dir *os.File) {
	refuse := func(err error) {
		call.Send(c, call.Reply{Err: fmt.Sprintf("have container %s stand still: %v", id, err), Code: call.CodeSystem})
	}
	within, cancel := context.WithTimeout(ctx, call.StillWithin)
	defer cancel()
	err := freeze(within, dir)
	if err == nil {
		err = call.Send(c, call.Reply{})
	}
	if err != nil {
		refuse(errors.Join(err, thaw(dir)))
		return
	}
	c.SetReadDeadline(time.Now().Add(call.LongestRest))
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	_, err = c.Read(make([]byte, 1)) // a caller has nothing more to say: it is its end, or the time's
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch err := thaw(dir); {
	case err != nil:
		refuse(err)
	case late && ctx.Err() != nil:
		refuse(errors.New("they went on, since the spawner was to end; try again"))
	case late:
		refuse(fmt.Errorf("they did for %s, which is the longest they may, and went on: the disk is too slow now; try again later",
			call.LongestRest))
	default:
		call.Send(c, call.Reply{})
	}
}

// freeze has all processes of a cgroup and below it stop (cgroup-v2, cgroup.freeze), and returns when none runs any more. A process that
// waits for a disk stops only when it has what it waits for.
func freeze(ctx context.Context, dir *os.File) error {
	if err := setFreeze(dir, "1"); err != nil {
		return err
	}
	for {
		frozen, err := isFrozen(dir)
		if err != nil || frozen {
			return err
		}
		if !run.Wait(ctx, 500*time.Microsecond) {
			return fmt.Errorf("they still run after %s: does one wait for a disk? try again", call.StillWithin)
		}
	}
}

// thaw has them go on. No cgroup is no error.
func thaw(dir *os.File) error {
	if err := setFreeze(dir, "0"); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func setFreeze(dir *os.File, to string) error {
	fd, err := unix.Openat(num(dir), "cgroup.freeze", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(to))
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("write %s to cgroup.freeze: %w", to, err)
	}
	return nil
}

func isFrozen(dir *os.File) (bool, error) {
	fd, err := unix.Openat(num(dir), "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, fmt.Errorf("read cgroup.events: %w", err)
	}
	defer unix.Close(fd)
	var b [256]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return false, fmt.Errorf("read cgroup.events: %w", err)
	}
	return strings.Contains(string(b[:n]), "frozen 1"), nil
}
