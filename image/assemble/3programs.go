package assemble

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hardnode.dev/internal/build"
)

// program is one static Go binary of the host's root.
type program struct {
	Pkg  string // folder, from the module's root
	Dest string // where it lies on the host
}

// programs is what a host runs. A folder without a main package yet is left out and named in the output.
var programs = []program{
	{"init", "usr/sbin/init"},
	{"init/netd", "usr/lib/hardnode/netd"},
	{"agent/spawner", "usr/lib/hardnode/spawner"},
	{"agent", "usr/lib/hardnode/agent"},
	{"agent/console", "usr/lib/hardnode/console"},
	{"agent/jem", "usr/lib/hardnode/jem"}, // bound read-only into each container
}

const stage1Pkg = "init/stage1" // the /init of the small cpio

// Stamped is what every program of an image says of its version (internal/build).
type Stamped struct{ Version, Time string }

// Stamp takes the version and time this program was stamped with itself, else those of the last commit.
func Stamp(ctx context.Context) Stamped {
	s := Stamped{build.Version, build.Time}
	if s.Time != "0" {
		return s
	}
	if out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output(); err == nil {
		s.Time = strings.TrimSpace(string(out))
	}
	return s
}

// Programs builds every main package of dirs that exists into bin/ and returns binary path by folder; missing folders are returned too.
func (b Builder) Programs(ctx context.Context, s Stamped, dirs []string) (bin map[string]string, missing []string, err error) {
	mains, err := mainPackages(ctx, dirs)
	if err != nil {
		return nil, nil, err
	}
	bin = map[string]string{}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags",
		fmt.Sprintf("-s -w -X hardnode.dev/internal/build.Version=%s -X hardnode.dev/internal/build.Time=%s", s.Version, s.Time),
		"-o", b.path("bin") + string(filepath.Separator)}
	for _, d := range dirs {
		if !mains[d] {
			missing = append(missing, d)
			continue
		}
		bin[d] = b.path("bin", filepath.Base(d))
		args = append(args, "./"+d)
	}
	if len(bin) == 0 {
		return bin, missing, nil
	}
	if err := os.MkdirAll(b.path("bin"), 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the output directory: %v", err)
	}
	if _, err := goTool(ctx, args...); err != nil {
		return nil, nil, fmt.Errorf("build programs: %v", err)
	}
	return bin, missing, nil
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
