// Package repro builds a release twice, as different from each other as two machines' builds are, and compares the bytes.
//
// Owns: the two folders, and what differs between the builds: the path, the files' times, the time zone, the language, Go's cache.
// In: the repository's tracked files, as they are now; the downloaded packages; the commit's time.
// Out: where the two differ first, or that they don't.
// Never: changes the repository, or downloads what is there.
package repro

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/image/release"
)

// side is one of the two builds.
type side struct {
	folder string
	times  time.Time // of all files; zero: now
	env    []string
}

// sides are the builds. The second has nothing of the first one's: Go compiles all anew.
var sides = [2]side{
	{"one", time.Time{}, []string{"TZ=UTC", "LC_ALL=C"}},
	{"two/in a longer path/and a deeper one", time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC),
		[]string{"TZ=Pacific/Kiritimati", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}},
}

// compared are the folders below out/ whose bytes count.
var compared = []string{"release", "media"}

// goals are what each side builds.
var goals = [][]string{{"release"}, {"disk"}, {"iso"}, {"pxe"}, {"-metal", "pxe"}}

// Run builds below dir twice from the repository in root and compares. cache is that of the downloaded packages; epoch the commit's time.
// It takes as long as two builds from nothing: some ten minutes on two cores.
func Run(ctx context.Context, root, dir, cache, epoch string, log func(format string, args ...any)) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %q: %w", dir, err)
	}
	goEnv, err := goPaths(ctx)
	if err != nil {
		return err
	}
	var trees [2]string
	for i, s := range sides { // both before the first is built: the repository may change meanwhile
		trees[i] = filepath.Join(dir, s.folder)
		if err := s.prepare(ctx, root, trees[i], cache); err != nil {
			return fmt.Errorf("copy the repository to %q: %w", trees[i], err)
		}
	}
	for i, s := range sides {
		env := append(append(os.Environ(), s.env...), "SOURCE_DATE_EPOCH="+epoch, goEnv[0])
		if i == 0 {
			env = append(env, goEnv[1])
		} else {
			env = append(env, "GOCACHE="+filepath.Join(dir, "go-cache"))
		}
		if err := s.build(ctx, trees[i], env, log); err != nil {
			return fmt.Errorf("build %d of 2, in %q: %w", i+1, trees[i], err)
		}
	}
	for _, what := range compared {
		where, err := release.Differ(filepath.Join(trees[0], "out", what), filepath.Join(trees[1], "out", what))
		if err != nil {
			return err
		}
		if where != "" {
			return fmt.Errorf("two builds of the same differ: %s/%s; they lie in %q", what, where, dir)
		}
	}
	log("two builds of the same are the same, byte for byte: %s", strings.Join(compared, ", "))
	return os.RemoveAll(dir)
}

// goPaths are the environment variables of Go's caches of modules and of compiled packages, as they are without a home.
func goPaths(ctx context.Context) (env [2]string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE", "GOCACHE").Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 2 {
		return env, fmt.Errorf("ask for Go's caches: %v, %q", err, out)
	}
	return [2]string{"GOMODCACHE=" + lines[0], "GOCACHE=" + lines[1]}, nil
}

// prepare makes the tree that the side builds in.
func (s side) prepare(ctx context.Context, root, tree, cache string) error {
	if err := clone(ctx, root, tree); err != nil {
		return err
	}
	if err := packages(cache, filepath.Join(tree, "out", "cache")); err != nil {
		return err
	}
	if s.times.IsZero() {
		return nil
	}
	return setTimes(tree, s.times)
}

func (s side) build(ctx context.Context, tree string, env []string, log func(format string, args ...any)) error {
	start := time.Now()
	program := filepath.Join(tree, "out", "bin", "image")
	steps := [][]string{{"go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./image"}}
	for _, g := range goals {
		steps = append(steps, append([]string{program, "-out", "out"}, g...))
	}
	for _, argv := range steps {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = tree, append(env, "PWD="+tree)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
		log("%s: %s (%.0f s)", s.folder, filepath.Base(argv[0])+" "+argv[len(argv)-1], time.Since(start).Seconds())
	}
	return nil
}

// clone copies the tracked files of root to tree.
func clone(ctx context.Context, root, tree string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the repository's files: git: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		from, to := filepath.Join(root, name), filepath.Join(tree, name)
		st, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) { // removed, and not committed yet
			continue
		} else if err != nil {
			return err
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, st.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// packages copies what was downloaded, and nothing that was made of it.
func packages(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"*.deb", "*.deb.json"} {
		files, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.Link(f, filepath.Join(to, filepath.Base(f))); err != nil {
				return err
			}
		}
	}
	return nil
}

// setTimes gives all files of the tree one time; the packages, which are shared with the repository's cache, keep theirs.
func setTimes(tree string, t time.Time) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(tree, "out") {
			return fs.SkipDir
		}
		return os.Chtimes(path, t, t)
	})
}
