// Package procview shows containers their own figures in /proc and /sys. It is a process of its own, `console -procview`: a program more
// would cost the image 1.7 MiB.
//
// Owns: nothing that must last. Each part is a package below this folder.
// In: a descriptor of /dev/fuse, which init mounted at boot.ViewDir and keeps; cgroups of containers, the host's /proc.
// Out: answers to whoever reads a file that is bound into a container; READY and WATCHDOG to init.
// Never: has a right that any user has not, or knows who reads: another process takes over where this one ended, whenever it ends.
package procview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/procview/load"
	"hardnode.dev/agent/procview/source"
	"hardnode.dev/agent/procview/view"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/wire/boot"
)

// Cgroups is the folder of the containers' cgroups.
const Cgroups = "/sys/fs/cgroup/ct"

// Serve answers until ctx ends. cgroup is Cgroups but in tests.
func Serve(ctx context.Context, log *slog.Logger, cgroup string) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	dev, err := handed()
	if err != nil {
		return err
	}
	loads := load.New(cgroup, "/proc")
	conn, err := view.Open(dev, view.New(source.New(cgroup, "/proc", loads)))
	if err != nil {
		return err
	}
	return run.Group(ctx, log,
		run.Task{Name: "answers", Run: conn.Serve},
		run.Task{Name: "loads", Run: loads.Run},
		run.Task{Name: "beat", Run: func(ctx context.Context) error {
			return beat(ctx, conn.Taken, conn.Asked(), func() bool { return conn.Well(slowest) })
		}},
		slim.Task(log),
	)
}

// handed is the descriptor that init hands over (sd_listen_fds(3)).
func handed() (*os.File, error) {
	if n, err := strconv.Atoi(os.Getenv("LISTEN_FDS")); err != nil || n != 1 {
		return nil, errors.New("no descriptor of /dev/fuse was handed over: init starts this program")
	}
	const fd = 3
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("use the descriptor that was handed over: %w", err)
	}
	return os.NewFile(fd, "/dev/fuse"), nil
}

// Times of the promise to init, which ends a process that says nothing for 400 ms while somebody waits for an answer.
const (
	beatEvery = 150 * time.Millisecond
	slowest   = 250 * time.Millisecond // that a request may be at work
)

// beat says that requests are answered, as long as there are any and they are, and sleeps while there are none: taken is how many there
// were, asked that there are more, well whether none takes long.
func beat(ctx context.Context, taken func() uint64, asked <-chan struct{}, well func() bool) error {
	say, told := daemon.SdNotifyReady, uint64(0)
	always := os.Getenv(boot.WatchdogAsked) == "" // an older init
	return run.Every(ctx, beatEvery, func(ctx context.Context) error {
		for !always && say == daemon.SdNotifyWatchdog && taken() == told {
			select {
			case <-ctx.Done():
				return nil
			case <-asked:
			}
		}
		n := taken()
		if !well() {
			return nil
		}
		_, err := daemon.SdNotify(false, say)
		say, told = daemon.SdNotifyWatchdog, n
		if err != nil {
			return fmt.Errorf("tell init: %w", err)
		}
		return nil
	})
}
