package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"hardnode.dev/agent/initctl"
	"hardnode.dev/agent/system"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/slots"
)

// Replacer replaces the programs of this host: system.Programs.
type Replacer struct {
	Read   func(slots.Name, func(io.Reader) error) error // the system in a slot
	Socket string                                        // init's
	Work   string                                        // a folder on a disk
	Log    *slog.Logger
}

// Hot is what init says became of the last order.
func (r *Replacer) Hot(ctx context.Context) (*boot.Hot, error) {
	s, err := initctl.Status(ctx, r.Socket)
	return s.Hot, err
}

// Keep has init keep the programs that are tried, and removes the roots that nothing runs from.
func (r *Replacer) Keep(ctx context.Context, root string) error {
	if err := initctl.Keep(ctx, r.Socket, root); err != nil {
		return err
	}
	s, err := initctl.Status(ctx, r.Socket)
	if err == nil {
		err = Clean(inUse(s.Services))
	}
	if err != nil {
		r.Log.Warn("roots of earlier programs stay", logging.Err, err)
	}
	return nil
}

func inUse(services []boot.ServiceStatus) (files []string) {
	for _, s := range services {
		files = append(files, s.Program)
	}
	return files
}

// Replace makes the root of the system in a slot, and has init replace the programs that differ. The agent is always among them: by it the
// host says which release it runs.
func (r *Replacer) Replace(ctx context.Context, booted, from slots.Slot, withinSec int64) error {
	runs, err := r.made(booted.Name)
	if err != nil && !errors.Is(err, ErrSilent) {
		return fmt.Errorf("read slot %s: %w", booted.Name, err)
	}
	is, err := initctl.Status(ctx, r.Socket)
	if err != nil {
		return err
	}
	if runs, err = running(runs, is.Services); err != nil {
		return err
	}
	digest := wire.Digest("sha256:" + from.SHA256)
	o := boot.HotOrder{Release: from.Version, Root: boot.RootFor(from.Version, digest), WithinSec: withinSec}
	err = r.read(from.Name, func(uki io.ReaderAt, size int64) error {
		wanted, err := Made(uki)
		if err != nil && !errors.Is(err, ErrSilent) {
			return err
		}
		parts, why := release.Hot(runs, wanted)
		if why != "" {
			return fmt.Errorf("%w: %s", system.ErrNotHot, why)
		}
		o.Programs = order(parts)
		if err := Clean(inUse(is.Services)); err != nil {
			r.Log.Warn("roots of earlier programs stay", logging.Err, err)
		}
		return Unpack(uki, size, digest, r.Work, o.Root)
	})
	if err != nil {
		return fmt.Errorf("read slot %s: %w", from.Name, err)
	}
	r.Log.Info("programs are replaced", "release", o.Release, "programs", o.Programs)
	return initctl.Replace(ctx, r.Socket, o)
}

// order is which services are replaced, for programs that differ: the agent in any case, and last. What is no service is there for it.
func order(parts []release.Part) (services []string) {
	for _, p := range parts {
		if p != release.JEM && p != release.Agent {
			services = append(services, string(p))
		}
	}
	return append(services, string(release.Agent))
}

// running are the parts that run: those that were booted, but for programs that took the place of theirs.
func running(booted release.Parts, services []boot.ServiceStatus) (release.Parts, error) {
	all := release.Parts{}
	for name, d := range booted {
		all[name] = d
	}
	for _, s := range services {
		name := release.Part(s.Name)
		if !slices.Contains(files, name) || filepath.Dir(s.Program) == boot.ProgramsDir || len(booted) == 0 {
			continue
		}
		d, err := DigestOf(s.Program)
		if err != nil {
			return nil, fmt.Errorf("read the program of service %s: %w", s.Name, err)
		}
		all[name] = d
	}
	return all, nil
}

func (r *Replacer) made(slot slots.Name) (p release.Parts, err error) {
	return p, r.read(slot, func(uki io.ReaderAt, _ int64) error {
		p, err = Made(uki)
		return err
	})
}

// read calls f with the file of a slot.
func (r *Replacer) read(slot slots.Name, f func(uki io.ReaderAt, size int64) error) error {
	return r.Read(slot, func(in io.Reader) error {
		file, ok := in.(*os.File)
		if !ok {
			return errors.New("a slot's system is no file")
		}
		st, err := file.Stat()
		if err != nil {
			return err
		}
		return f(file, st.Size())
	})
}
