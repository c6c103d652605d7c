package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// notify speaks sd_notify(3) to init: ready, alive, and descriptors to keep for the next agent.
type notify struct {
	log  *slog.Logger
	kept map[string]*os.File // what the last agent left
}

func newNotify(log *slog.Logger) *notify {
	n := &notify{log: log, kept: map[string]*os.File{}}
	for _, f := range activation.Files(true) {
		n.kept[f.Name()] = f
	}
	return n
}

// watchdog is how often init must hear of the agent; it is told three times as often.
const watchdog = 90 * time.Second

// running is run for a list of tasks.
func (n *notify) running(alive func() bool, first <-chan struct{}, found func() int) func(context.Context) error {
	return func(ctx context.Context) error { return n.run(ctx, alive, first, found) }
}

// run tells init that the agent is up, how many containers it found running once it has looked, then that it is alive while alive says so.
func (n *notify) run(ctx context.Context, alive func() bool, first <-chan struct{}, found func() int) error {
	n.say(fmt.Sprintf("%s\nWATCHDOG_USEC=%d", daemon.SdNotifyReady, watchdog.Microseconds()))
	select {
	case <-first:
		if k := found(); k > 0 {
			n.say(fmt.Sprintf("STATUS=adopted %d running containers", k))
		}
	case <-time.After(watchdog / 3): // it could not look yet; its problems say why
	case <-ctx.Done():
	}
	for run.Wait(ctx, watchdog/3) {
		if alive() {
			n.say(daemon.SdNotifyWatchdog)
		}
	}
	n.say(daemon.SdNotifyStopping)
	return nil
}

func (n *notify) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("tell init", logging.Err, err)
	}
}

// Keep hands a descriptor to init under that name (FDSTORE, file descriptor store of sd_notify).
func (n *notify) Keep(name string, f *os.File) error {
	at := os.Getenv("NOTIFY_SOCKET")
	if at == "" {
		return nil // not started by init: nobody would give it back
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("hand descriptor %q to init: %v", name, err)
	}
	defer unix.Close(sock)
	raw, err := f.SyscallConn() // not Fd: that would make the socket blocking
	if err != nil {
		return fmt.Errorf("hand descriptor %q to init: %v", name, err)
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.Sendmsg(sock, []byte("FDSTORE=1\nFDNAME="+name), unix.UnixRights(int(fd)), &unix.SockaddrUnix{Name: at}, 0)
	})
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("hand descriptor %q to init: %v", name, err)
	}
	return nil
}

// Drop makes init forget a descriptor.
func (n *notify) Drop(name string) error {
	_, err := daemon.SdNotify(false, "FDSTOREREMOVE=1\nFDNAME="+name)
	return err
}
