// Spawner is the parent of every container on a host: it clones them, holds their pidfds and output, and records how they end.
//
// Owns: the processes' parenthood, their logs, boot.SpawnerSocket.
// In: requests of the agent (agent/spawner/call), descriptors a predecessor left with init.
// Out: containers, exit codes, logs; READY and the descriptor store to init.
// Never: decides what runs, mounts anything outside a container, or ends a container because it ends itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/fork"
	"hardnode.dev/agent/spawner/hold"
	"hardnode.dev/agent/spawner/orphan"
	"hardnode.dev/agent/spawner/stray"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/calm"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/wire/boot"
)

// The forking process ends with the thread that made it: main stays on the main thread.
func init() { runtime.LockOSThread() }

func main() {
	socket := flag.String("socket", boot.SpawnerSocket, "unix socket to serve")
	flag.Parse()
	log := logging.New(os.Stderr, "spawner", slog.LevelInfo)
	if err := serve(log, *socket); err != nil {
		log.Error("spawner ends", logging.Err, err)
		os.Exit(1)
	}
}

func serve(log *slog.Logger, socket string) error {
	if err := harden(); err != nil {
		return err
	}
	forker, err := fork.Open()
	if err != nil {
		return err
	}
	go func() { // what runs goes on, and the next spawner takes it over: there is nothing to wait for
		log.Error("spawner ends", logging.Err, forker.Wait())
		os.Exit(1)
	}()
	store := storeFromEnv()
	table, err := hold.Open(store.Left(), store, forker,
		func(pid int) (int, bool) { return orphan.Exit(boot.InitSocket, pid) }, log)
	if err != nil {
		return err
	}
	os.Remove(socket)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return fmt.Errorf("protect socket: %w", err)
	}
	if err := store.Ready(); err != nil {
		return err
	}
	ctx, cancel := run.UntilSignal(context.Background())
	defer cancel()
	return run.Group(ctx, log,
		run.Task{Name: "watch", Run: func(ctx context.Context) error {
			defer context.AfterFunc(ctx, table.Stop)()
			return table.Watch()
		}},
		run.Task{Name: "strays", Run: func(ctx context.Context) error {
			return stray.Watch(ctx, func(pid int) {
				log.Warn("process killed", "pid", pid,
					logging.Reason, "it asked its parent to trace it and stopped; nobody would let it go on")
			})
		}},
		run.Task{Name: "serve", Run: func(ctx context.Context) error { return table.Serve(ctx, l) }},
		slim.Task(log), calm.Task(log),
	)
}

// harden makes this process unreadable for what it starts (CVE-2016-9962) and lifts the limits that containers get a part of.
func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("become undumpable: %v", err)
	}
	lim := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("raise descriptor limit: %v", err)
	}
	return nil
}
