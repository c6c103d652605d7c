// Command console shows this host's state on every configured terminal, in plain lines that a dumb serial terminal can show, and answers
// who types there.
//
// Owns: what the status line says after its time, and when it is said again: what changed at once, all of it each minute. The terminals,
// from the first Enter to the end of a conversation.
// In: the agent's console API and init's status over their sockets; keys.
// Out: lines on terminals; an absent or stuck one is skipped.
// Never: waits for a terminal, shows a secret, or is needed: it runs without any right but to its terminals and sockets, and init starts it
// again.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/procview"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/wallclock"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
)

func main() {
	view := flag.Bool("procview", false, "answer what containers read of themselves, instead of being a console")
	cgroup := flag.String("cgroup", procview.Cgroups, "folder of the containers' cgroups, for -procview")
	flag.Parse()
	name := map[bool]string{false: "console", true: "procview"}[*view]
	log := logging.New(os.Stderr, name, slog.LevelInfo)
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(8 << 20)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	work := show
	if *view {
		work = func(ctx context.Context, log *slog.Logger) error { return procview.Serve(ctx, log, *cgroup) }
	}
	if err := work(ctx, log); err != nil {
		log.Error(name+" ends", logging.Err, err)
		os.Exit(1)
	}
}

// again is how often the whole status is shown.
const again = time.Minute

// pause is how long to wait before the next look: little while the host comes up, when a person is most likely to watch.
func pause(a *boot.AgentStatus) time.Duration {
	if a == nil || !a.Linked {
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

func show(ctx context.Context, log *slog.Logger) error {
	return run.Group(ctx, log, run.Task{Name: "status", Run: func(ctx context.Context) error { return status(ctx, log) }}, slim.Task(log))
}

// status looks again and again and writes what changed, until ctx ends.
func status(ctx context.Context, log *slog.Logger) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell init", logging.Err, err)
	}
	h := asked{ask.To("the agent", console.Socket), ask.To("init", boot.InitSocket)}
	ts := &terminals{log: log, host: h}
	defer ts.close()
	var last []string
	var whole time.Time // when all of it was shown
	for {
		a, i := h.look(ctx, statusPath+"?"+boot.StatusBrief)
		ts.use(ctx, wanted(i))
		now, at := lines(a, i), time.Now()
		if at.Sub(whole) >= again {
			last, whole = nil, at
		}
		if say := news(last, now); len(say) > 0 {
			last = now
			ts.write(wallclock.Stamp(at, facts.SinceBoot(), wallclock.Known()) + " " + strings.Join(say, "\n") + "\n")
		}
		if !run.Wait(ctx, pause(a)) {
			return nil
		}
	}
}
