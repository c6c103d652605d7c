package kexec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/programs"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/slots"
)

// Door is the kernel.
type Door interface {
	Kernel() Kernel
	Load(kernel, initrd *os.File, arguments string) error // instead of what was loaded before
	Unload() error
}

// Options are what a Loader needs.
type Options struct {
	Status func() slots.Status
	Read   func(slots.Name, func(io.Reader) error) error // the system in a slot, in which it can be read anywhere
	// Chose counts a slot as the loader does that takes it.
	Chose func(slots.Name) (undo func() error, err error)
	// Leaving says that the machine is left by order, before it is known which slot comes next.
	Leaving func() error
	Work    string // a folder on a disk
	Door    Door   // nil: the kernel's
	Log     *slog.Logger
}

// Loader gives systems to the kernel. Its methods may be called at once.
type Loader struct {
	o      Options
	mu     sync.Mutex // one at a time
	loaded string     // the SHA-256 of the system that the kernel has; "": none, or not known
	ready  bool       // Prepare was done: what comes next is counted already, and the machine is being left for it
}

// New makes one.
func New(o Options) *Loader {
	if o.Door == nil {
		o.Door = kernel{}
	}
	o.Log = logging.Or(o.Log)
	return &Loader{o: o}
}

// Load gives a slot's system to the kernel, which starts it only when init says so. The error says why it does not take it.
func (l *Loader) Load(s slots.Slot) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load(s)
}

func (l *Loader) load(s slots.Slot) error {
	if err := start(s, l.o.Door.Kernel()); err != nil {
		return err
	}
	if l.loaded != "" && l.loaded == s.SHA256 {
		return nil
	}
	began := time.Now()
	l.loaded = ""
	err := l.o.Read(s.Name, func(r io.Reader) error {
		file, ok := r.(interface {
			io.Reader
			io.ReaderAt
		})
		if !ok {
			return errors.New("BUG: a slot's system is no file")
		}
		return l.give(file, file, s)
	})
	if err != nil {
		return refuse("slot %s: %v", s.Name, err)
	}
	l.loaded = s.SHA256
	l.o.Log.Info("the kernel has taken the next system", "slot", s.Name, "release", s.Version, logging.Took, time.Since(began))
	return nil
}

// give compares all of a system with its digest, and gives its parts to the kernel.
func (l *Loader) give(all io.Reader, at io.ReaderAt, s slots.Slot) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, all); err != nil {
		return fmt.Errorf("read its system: %v", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); s.SHA256 != "" && got != s.SHA256 {
		return fmt.Errorf("its system is not the one that was written: SHA-256 %s, want %s; stage it again", got, s.SHA256)
	}
	kernel, err := l.part(at, ".linux")
	if err != nil {
		return err
	}
	defer kernel.Close()
	initrd, err := l.part(at, ".initrd")
	if err != nil {
		return err
	}
	defer initrd.Close()
	section, err := programs.Section(at, ".cmdline")
	if err != nil {
		return err
	}
	cmdline, err := io.ReadAll(io.LimitReader(section, 4096))
	if err != nil {
		return fmt.Errorf("read its arguments: %v", err)
	}
	return words(l.o.Door.Load(kernel, initrd, arguments(string(bytes.TrimRight(cmdline, "\x00\n ")), s.Name)))
}

// part is a section of a system as a file that is gone when it is closed: the kernel reads whole files, and only such as nobody can write
// to meanwhile (kernel_read_file).
func (l *Loader) part(at io.ReaderAt, name string) (f *os.File, err error) {
	section, err := programs.Section(at, name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.o.Work, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(l.o.Work, "kexec"+name)
	w, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(w, section)
	if err = errors.Join(err, w.Close()); err == nil {
		f, err = os.Open(path)
	}
	if err = errors.Join(err, os.Remove(path)); err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("copy section %s: %w", name, err)
	}
	return f, nil
}

// Prepare gives the kernel the system that the loader would take next, and counts it as if the loader had. undo takes both back. Done once
// it does no more: who orders to leave the machine may say so again while it is being left, and the loader would take another one now.
func (l *Loader) Prepare() (undo func() error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready {
		return func() error { return nil }, nil
	}
	// What was just booted has its count again only once it is up: without one, another slot would come next.
	if s := l.o.Status(); !slices.ContainsFunc(s.Slots, func(x slots.Slot) bool { return x.Booted && x.State == slots.Trying }) {
		if err := l.o.Leaving(); err != nil {
			return nil, refuse("the slots can't be counted: %v", err)
		}
	}
	next, err := Decide(l.o.Status(), l.o.Door.Kernel())
	if err != nil {
		return nil, err
	}
	if err := l.load(next); err != nil {
		return nil, err
	}
	back, err := l.o.Chose(next.Name)
	if err != nil {
		return nil, errors.Join(refuse("it is not counted: %v", err), l.unload())
	}
	l.ready = true
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ready = false
		return errors.Join(back(), l.unload())
	}, nil
}

func (l *Loader) unload() error {
	l.loaded = ""
	return l.o.Door.Unload()
}

// words says for people why the kernel did not take a system.
func words(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENODATA),
		errors.Is(err, unix.EBADMSG):
		return fmt.Errorf("the kernel that runs starts only kernels that are signed with a key which it believes (secure boot, lockdown), "+
			"and this one is not: %w", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("there is no memory for a second system: %w", err)
	}
	return err
}

// kernel is the real Door.
type kernel struct{}

func (kernel) Kernel() Kernel {
	_, err := os.Stat("/sys/kernel/kexec_loaded")
	closed, _ := os.ReadFile("/proc/sys/kernel/kexec_load_disabled") // without it nobody can have closed it
	return Kernel{Able: err == nil, Closed: strings.TrimSpace(string(closed)) == "1"}
}

func (kernel) Load(kernel, initrd *os.File, arguments string) error {
	if err := unix.KexecFileLoad(int(kernel.Fd()), int(initrd.Fd()), arguments, 0); err != nil {
		return fmt.Errorf("kexec_file_load: %w", err)
	}
	return nil
}

func (kernel) Unload() error {
	if err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD); err != nil {
		return fmt.Errorf("kexec_file_load: unload: %w", err)
	}
	return nil
}
