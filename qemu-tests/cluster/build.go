package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// targets are what the cluster needs from the Makefile; those of one row are made side by side. A target that has nothing to do takes
// a moment.
var targets = [][]struct{ phase, target string }{
	{{"build tools", "bin"}},
	{{"build images", "image"}, {"build template nginx", "templates"}},
}

// build brings out/ up to date.
func (c *Cluster) build(ctx context.Context) error {
	for _, row := range targets {
		g, ctx := errgroup.WithContext(ctx)
		for _, t := range row {
			g.Go(func() error {
				return c.phases.run(t.phase, func(detail detail) error { return Make(ctx, c.Root, t.target, detail) })
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// escapes are terminal control sequences, which make's programs may print.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]|\r")

// Make runs one target of the Makefile and gives each line it prints to detail. The error carries the last lines.
func Make(ctx context.Context, root, target string, detail detail) error {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-s", target)
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out := &lines{each: func(l string) { detail("%s", l) }}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make %s: %v\n%s", target, err, strings.Join(out.last(), "\n"))
	}
	return nil
}

// lines splits what is written to it and keeps the last ones.
type lines struct {
	each func(string)

	mu   sync.Mutex
	rest string
	kept []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest += string(p)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		if line = strings.TrimSpace(escapes.ReplaceAllString(line, "")); line == "" {
			continue
		}
		if l.kept = append(l.kept, line); len(l.kept) > 40 {
			l.kept = l.kept[1:]
		}
		l.each(line)
	}
}

func (l *lines) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(slices.Clone(l.kept), l.rest)
}

// bin is the path of a built program.
func (c *Cluster) bin(name string) string { return filepath.Join(c.Root, "out/bin", name) }
