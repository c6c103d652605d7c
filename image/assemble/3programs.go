package assemble

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/build"
)

// program is one static Go binary of the host's root.
type program struct {
	Pkg  string // folder, from the module's root
	Dest string // where it lies on the host
	// Small: it is compiled without inlining, an eighth smaller; for programs that wait more than they compute.
	Small bool
}

// programs is what a host runs. A folder without a main package yet is left out and named in the output.
var programs = []program{
	{Pkg: "init", Dest: "usr/sbin/init"},
	{Pkg: "init/netd", Dest: "usr/lib/hardnode/netd"},
	{Pkg: "agent/spawner", Dest: "usr/lib/hardnode/spawner"},
	{Pkg: "agent", Dest: "usr/lib/hardnode/agent"},
	{Pkg: "agent/console", Dest: "usr/lib/hardnode/console", Small: true},
	{Pkg: "agent/jem", Dest: "usr/lib/hardnode/jem", Small: true}, // bound read-only into each container
}

const (
	stage1Pkg = "init/stage1" // the /init of the small cpio
	hnctlPkg  = "tools/hnctl"
)

// Stamped is what an image says of its version: Time is Unix seconds as text (internal/build).
type Stamped struct{ Version, Time string }

// CommitTime is SOURCE_DATE_EPOCH where that is set (reproducible-builds.org), else the time of the last commit, "0" without one.
func CommitTime(ctx context.Context) (string, error) {
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		if n, err := strconv.ParseInt(s, 10, 64); err != nil || n < 0 {
			return "", fmt.Errorf("read SOURCE_DATE_EPOCH: %q is no number of seconds since 1970", s)
		}
		return s, nil
	}
	if out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output(); err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	return "0", nil
}

// Programs builds every main package of dirs that exists into cache/programs/ and returns binary path by folder; missing folders are
// returned too. No program is stamped: what it is of stands in its root (build.File).
func (b Builder) Programs(ctx context.Context, dirs []string) (bin map[string]string, missing []string, err error) {
	mains, err := mainPackages(ctx, dirs)
	if err != nil {
		return nil, nil, err
	}
	bin = map[string]string{}
	dir := b.path("cache", "programs")
	var fast, small []string
	for _, d := range dirs {
		if !mains[d] {
			missing = append(missing, d)
			continue
		}
		bin[d] = filepath.Join(dir, filepath.Base(d))
		if slices.ContainsFunc(programs, func(p program) bool { return p.Pkg == d && p.Small }) {
			small = append(small, "./"+d)
		} else {
			fast = append(fast, "./"+d)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the output directory: %v", err)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	for _, how := range []struct {
		flag string
		pkgs []string
	}{{"-gcflags=", fast}, {"-gcflags=all=-l", small}} {
		if len(how.pkgs) == 0 {
			continue
		}
		if _, err := goTool(ctx, slices.Concat(args, []string{how.flag}, how.pkgs)...); err != nil {
			return nil, nil, fmt.Errorf("build programs: %v", err)
		}
	}
	return bin, missing, nil
}

// Hnctl builds the command that people run on machines of their own. There is no build.File there, so it is stamped. It returns the
// file and its package's folder.
func (b Builder) Hnctl(ctx context.Context) (path, pkg string, err error) {
	path = b.path("cache", "people", "hnctl")
	flags := fmt.Sprintf("-ldflags=-s -w -X %[1]s.version=%s -X %[1]s.seconds=%s", build.Package, b.Stamp.Version, b.Stamp.Time)
	_, err = goTool(ctx, "build", "-trimpath", "-buildvcs=false", flags, "-o", path, "./"+hnctlPkg)
	if err != nil {
		return "", "", fmt.Errorf("build hnctl: %v", err)
	}
	return path, hnctlPkg, nil
}

// mainPackages says which folders hold a main package.
func mainPackages(ctx context.Context, dirs []string) (map[string]bool, error) {
	args := []string{"list", "-e", "-f", "{{.Name}} {{.ImportPath}}"}
	for _, d := range dirs {
		args = append(args, "./"+d)
	}
	out, err := goTool(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("list programs: %v", err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "main "); ok {
			found[strings.TrimPrefix(path, "hardnode.dev/")] = true
		}
	}
	return found, nil
}

// goTool runs the go command for static programs of this image's only architecture.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %v\n%s", args[0], err, stderr.String())
	}
	return out, nil
}
