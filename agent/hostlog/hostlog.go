// Package hostlog reads the host's own logs: of init, of the programs init keeps, of the kernel, and what a
// kernel said last.
//
// Owns: where those logs lie (rings in RAM that init keeps, the kernel's own ring), and the form of their lines.
// In: which one, how much of it, since when.
// Out: lines, oldest first; with follow also what comes.
// Never: writes, keeps anything, or reads a container's output: that is agent/container's.
package hostlog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// Logs is where the logs of one host are. The zero value is this host.
type Logs struct {
	Dir   string           // "" is boot.LogDir
	Kmsg  string           // "" is /dev/kmsg
	Crash string           // what a kernel said last; "" is boot.CrashFile
	Began func() time.Time // when the kernel started, by the wall clock; nil asks the kernel
}

// Line is one line of a log. A line of a program that has no time of its own has that of the line before it.
type Line struct {
	At   time.Time
	Text []byte
}

// source is a log that can be read on.
type source interface {
	more() ([]Line, error) // what came since the last call; the first gives all that is kept
	close()
}

// followEvery is how often a follower looks for more.
const followEvery = 200 * time.Millisecond

// Read calls each with the texts of Lines.
func (l Logs) Read(ctx context.Context, spec host.HostLogsSpec, each func([]byte) error) error {
	return l.Lines(ctx, spec, func(x Line) error { return each(x.Text) })
}

// Lines calls each with lines of the log that spec names, oldest first, until its end, or until ctx ends if it follows.
func (l Logs) Lines(ctx context.Context, spec host.HostLogsSpec, each func(Line) error) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	s, err := l.open(spec.Unit)
	if err != nil {
		return fmt.Errorf("read log of %s: %w", spec.Unit, err)
	}
	defer s.close()
	for first := true; first || spec.Follow && run.Wait(ctx, followEvery); first = false {
		lines, err := s.more()
		if err != nil {
			return fmt.Errorf("read log of %s: %w", spec.Unit, err)
		}
		lines = slices.DeleteFunc(lines, func(x Line) bool { return x.At.Before(spec.Since) })
		if first && spec.Tail > 0 {
			lines = lines[max(0, len(lines)-spec.Tail):]
		}
		for _, x := range lines {
			if err := each(x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l Logs) open(unit host.Unit) (source, error) {
	switch unit {
	case host.UnitCrash:
		path := l.Crash
		if path == "" {
			path = boot.CrashFile
		}
		return &words{path: path}, nil
	case host.UnitKernel, host.UnitInit, host.UnitDmesg:
		path := l.Kmsg
		if path == "" {
			path = "/dev/kmsg"
		}
		began := l.Began
		if began == nil {
			began = kernelBegan
		}
		return openRecords(path, unit, began)
	}
	dir := l.Dir
	if dir == "" {
		dir = boot.LogDir
	}
	return &ring{path: filepath.Join(dir, string(unit))}, nil
}
