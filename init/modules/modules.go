// Package modules loads kernel modules without modprobe.
//
// Owns: what is loaded when: the lists of names, devices found at boot (coldplug) and later (uevents), and names a step asks for.
// In: a flat directory made by image/kmod: modules.dep, modules.alias, modules.preload, modules.container, modules.late, <name>.ko or
// <name>.ko.xz; /sys; uevents.
// Out: loaded modules; the aliases no module matched.
// Never: unloads, or lets one module that will not load stop the boot.
package modules

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Loader loads from Dir by means of Load (sys.LoadModule).
type Loader struct {
	Dir  string
	Load func(path, params string) error

	deps      map[string][]string
	aliases   []alias
	preload   []string
	container []string
	late      map[string]bool
	mu        struct {
		sync.Mutex
		tried map[string]*attempt
	}
}

// attempt is one module's loading; whoever comes second waits for the first.
type attempt struct {
	once sync.Once
	err  error
}

// alias is one pattern of modules.alias, split so that most devices are told apart without matching.
type alias struct {
	literal string // what comes before the first special character
	pattern string
	module  string
}

// Open reads the indexes.
func Open(dir string, load func(path, params string) error) (*Loader, error) {
	l := &Loader{Dir: dir, Load: load, deps: map[string][]string{}, late: map[string]bool{}}
	l.mu.tried = map[string]*attempt{}
	err := errors.Join(
		l.lines("modules.dep", func(line string) {
			name, rest, _ := strings.Cut(line, ":")
			l.deps[name] = strings.Fields(rest)
		}),
		l.lines("modules.alias", func(line string) {
			if pattern, module, ok := cutLast(line); ok {
				l.aliases = append(l.aliases, alias{literal(pattern), pattern, module})
			}
		}),
		l.lines("modules.preload", func(line string) { l.preload = append(l.preload, line) }),
		l.lines("modules.container", func(line string) { l.container = append(l.container, line) }),
		l.lines("modules.late", func(line string) { l.late[line] = true }))
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Loader) lines(name string, f func(string)) error {
	raw, err := os.ReadFile(filepath.Join(l.Dir, name))
	if err != nil {
		return fmt.Errorf("read module index: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" {
			f(line)
		}
	}
	return nil
}

func cutLast(line string) (before, after string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

func literal(pattern string) string {
	if i := strings.IndexAny(pattern, "*?["); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// Preload is the list of names loaded on every boot before the disk is looked at, in order.
func (l *Loader) Preload() []string { return slices.Clone(l.preload) }

// Container is the list of names loaded on every boot for containers and their network, in order.
func (l *Loader) Container() []string { return slices.Clone(l.container) }

// AddAll loads modules in order until ctx ends. One that would not load does not keep the others; the error names every such one.
func (l *Loader) AddAll(ctx context.Context, names []string) error {
	var failed []error
	for i, name := range names {
		if ctx.Err() != nil {
			failed = append(failed, fmt.Errorf("load %q and what comes after: %w", strings.Join(names[i:], ", "), ctx.Err()))
			break
		}
		if err := l.Add(name, ""); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d modules: %w", len(failed), len(names), errors.Join(failed...))
	}
	return nil
}

// Add loads a module after all it needs; one that was tried before gives the same answer. Hyphens and underscores are the same.
// A name with no file is an error that wraps fs.ErrNotExist; it may be built into the kernel.
func (l *Loader) Add(name, params string) error {
	name = strings.ReplaceAll(name, "-", "_")
	for _, d := range l.deps[name] {
		if err := l.one(d, ""); err != nil {
			return fmt.Errorf("module %q needs another: %w", name, err)
		}
	}
	return l.one(name, params)
}

func (l *Loader) one(name, params string) error {
	l.mu.Lock()
	a := l.mu.tried[name]
	if a == nil {
		a = &attempt{}
		l.mu.tried[name] = a
	}
	l.mu.Unlock()
	a.once.Do(func() {
		if _, here := l.deps[name]; !here {
			a.err = fmt.Errorf("load module %q: %w", name, fs.ErrNotExist)
			return
		}
		a.err = l.Load(filepath.Join(l.Dir, name+".ko"), params)
	})
	return a.err
}

// Match names the modules that drive a device of this modalias.
func (l *Loader) Match(modalias string) []string {
	var names []string
	for _, a := range l.aliases {
		if strings.HasPrefix(modalias, a.literal) && matches(a.pattern, modalias) && !slices.Contains(names, a.module) {
			names = append(names, a.module)
		}
	}
	return names
}

// matches is fnmatch for the patterns of MODULE_ALIAS: *, ? and [sets]; unlike filepath.Match, / is nothing special.
func matches(pattern, text string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for pattern != "" && pattern[0] == '*' {
				pattern = pattern[1:]
			}
			for i := 0; i <= len(text); i++ {
				if matches(pattern, text[i:]) {
					return true
				}
			}
			return false
		case '?':
			if text == "" {
				return false
			}
			pattern, text = pattern[1:], text[1:]
		case '[':
			end := strings.IndexByte(pattern, ']')
			if end < 0 || text == "" || !inSet(pattern[1:end], text[0]) {
				return false
			}
			pattern, text = pattern[end+1:], text[1:]
		default:
			if text == "" || text[0] != pattern[0] {
				return false
			}
			pattern, text = pattern[1:], text[1:]
		}
	}
	return text == ""
}

func inSet(set string, c byte) bool {
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			if set[i] <= c && c <= set[i+2] {
				return true
			}
			i += 2
		} else if set[i] == c {
			return true
		}
	}
	return false
}

// driverless are folders of /sys/devices that hold no device a module could drive, and many entries: a block of memory each 128 MiB, a
// terminal each number. The "power" of every device is the same.
var driverless = []string{"system/memory", "virtual/tty"}

// Coldplug loads the modules of every device below root (/sys/devices), but for late ones, which it names: their drivers wait for
// hardware. It returns how many devices it saw, and what would not load.
func (l *Loader) Coldplug(ctx context.Context, root string) (devices int, late []string, problems []error) {
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return ctx.Err() // a device that vanished while we walked is no error
		}
		if d.IsDir() && (d.Name() == "power" || slices.Contains(driverless, strings.TrimPrefix(path, root+"/"))) {
			return filepath.SkipDir
		}
		if d.Name() != "modalias" || d.IsDir() {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		devices++
		text := strings.TrimSpace(string(raw))
		if text == "" || seen[text] {
			return nil
		}
		seen[text] = true
		for _, m := range l.Match(text) {
			if l.late[m] {
				late = append(late, m)
			} else if err := l.Add(m, ""); err != nil {
				problems = append(problems, err)
			}
		}
		return nil
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("walk %q: %w", root, err))
	}
	return devices, late, problems
}

// Device loads the modules of one device.
func (l *Loader) Device(modalias string) (problems []error) {
	for _, m := range l.Match(modalias) {
		if err := l.Add(m, ""); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// event reads a kernel uevent: "add@/devices/…", then NUL-separated KEY=value. It returns the modalias of an added device.
func event(text string) (modalias string, ok bool) {
	head, rest, _ := strings.Cut(text, "\x00")
	if !strings.HasPrefix(head, "add@") {
		return "", false
	}
	s := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(rest, "\x00", "\n")))
	for s.Scan() {
		if m, ok := strings.CutPrefix(s.Text(), "MODALIAS="); ok {
			return m, true
		}
	}
	return "", false
}
