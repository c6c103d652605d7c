// Package debian gets files out of Debian packages without installing them.
//
// Owns: the cache of downloaded packages, and what is known of each (name, version, SHA-256).
// In: package names; the machine's own apt sources, whose signatures apt checks.
// Out: unpacked trees, the closure of shared libraries a program needs, and the notices that go along with them.
// Never: installs anything, requires one version (Debian's archive drops old ones), or trusts a package apt has not verified.
package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Package is one downloaded package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of the .deb, hex
	Deb     string `json:"deb"`    // file name in the cache
}

// Archive downloads into Cache, a directory it creates.
type Archive struct {
	Cache string
	Log   func(format string, args ...any) // one line a download; nil is silent
	own   string                           // folder of an apt configuration of the build's own (With); "": the machine's
}

// deadline bounds every call of apt and dpkg: a dead mirror must not hang a build.
const deadline = 5 * time.Minute

// Concrete is the package a meta-package depends on whose name matches: linux-image-6.12-cloud-amd64 → linux-image-6.12.117+….
func (a Archive) Concrete(ctx context.Context, meta string, match *regexp.Regexp) (string, error) {
	out, err := a.lookUp(ctx, "apt-cache", "depends", "--important", meta)
	if err != nil {
		return "", fmt.Errorf("resolve package %q: %v; run `make deps`", meta, err)
	}
	if name, ok := firstDepend(string(out), match); ok {
		return name, nil
	}
	return "", fmt.Errorf("resolve package %q: no dependency matches %s; run `apt-get update`", meta, match)
}

// firstDepend reads the output of `apt-cache depends`: lines such as "  Depends: name".
func firstDepend(text string, match *regexp.Regexp) (string, bool) {
	for line := range strings.Lines(text) {
		kind, name, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && strings.TrimPrefix(kind, "|") == "Depends" && match.MatchString(name) {
			return name, true
		}
	}
	return "", false
}

// Closure is the packages that pkgs need to run, themselves included, sorted.
func (a Archive) Closure(ctx context.Context, pkgs ...string) ([]string, error) {
	args := append([]string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
		"--no-replaces", "--no-enhances"}, pkgs...)
	out, err := a.lookUp(ctx, "apt-cache", args...)
	if err != nil {
		return nil, fmt.Errorf("list what %v depend on: %v", pkgs, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if line[0] != ' ' && line[0] != '<' && line[0] != '|' {
			names = append(names, strings.TrimSpace(line))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Get downloads the candidate version of each package, or takes it from the cache, where apt's own file name stands for the version.
func (a Archive) Get(ctx context.Context, names ...string) ([]Package, error) {
	if err := os.MkdirAll(a.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the package cache: %v", err)
	}
	uris, err := a.lookUp(ctx, "apt-get", append([]string{"download", "--print-uris", "-q"}, names...)...)
	if err != nil {
		return nil, fmt.Errorf("look up packages %v: %v; run `apt-get update`", names, err)
	}
	files := urisOf(string(uris))
	if len(files) != len(names) {
		return nil, fmt.Errorf("look up packages %v: apt knows %d of %d; run `apt-get update`", names, len(files), len(names))
	}
	var got []Package
	for _, f := range files {
		p, err := a.get(ctx, f)
		if err != nil {
			return nil, err
		}
		got = append(got, p)
	}
	return got, nil
}

// urisOf reads `apt-get download --print-uris`: 'URL' file size digest. It returns the file names.
func urisOf(text string) []string {
	var files []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 3 && strings.HasPrefix(f[0], "'") {
			files = append(files, f[1])
		}
	}
	return files
}

func (a Archive) get(ctx context.Context, file string) (Package, error) {
	name, version, err := splitDeb(file)
	if err != nil {
		return Package{}, err
	}
	note := filepath.Join(a.Cache, file+".json")
	var p Package
	if raw, err := os.ReadFile(note); err == nil && json.Unmarshal(raw, &p) == nil && p.Deb == file {
		if _, err := os.Stat(filepath.Join(a.Cache, file)); err == nil {
			return p, nil
		}
	}
	if a.Log != nil {
		a.Log("download %s %s", name, version)
	}
	// apt verifies the package against the signed index before it gives it its name here.
	if _, err := a.apt(ctx, a.Cache, "apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name+"="+version); err != nil {
		return Package{}, fmt.Errorf("download package %q: %v", name, err)
	}
	raw, err := os.ReadFile(filepath.Join(a.Cache, file))
	if err != nil {
		return Package{}, fmt.Errorf("download package %q: %v", name, err)
	}
	sum := sha256.Sum256(raw)
	p = Package{Name: name, Version: version, SHA256: hex.EncodeToString(sum[:]), Deb: file}
	out, err := json.Marshal(p)
	if err != nil {
		return Package{}, fmt.Errorf("note package %q: %v", name, err)
	}
	if err := os.WriteFile(note, out, 0o644); err != nil {
		return Package{}, fmt.Errorf("note package %q: %v", name, err)
	}
	return p, nil
}

// splitDeb takes apart name_version_arch.deb; apt writes an epoch's colon as %3a.
func splitDeb(file string) (name, version string, err error) {
	parts := strings.Split(strings.TrimSuffix(file, ".deb"), "_")
	if len(parts) != 3 {
		return "", "", fmt.Errorf("read package file name %q: want name_version_arch.deb", file)
	}
	return parts[0], strings.ReplaceAll(parts[1], "%3a", ":"), nil
}

// Unpack extracts p below dir, once: a directory of the same package and digest is taken as it is.
func (a Archive) Unpack(ctx context.Context, p Package, dir string) error {
	mark := filepath.Join(dir, ".unpacked")
	if was, err := os.ReadFile(mark); err == nil && string(was) == p.SHA256 {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %q: %v", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %q: %v", dir, err)
	}
	if _, err := output(ctx, "", "dpkg-deb", "-x", filepath.Join(a.Cache, p.Deb), dir); err != nil {
		return fmt.Errorf("unpack package %q: %v", p.Name, err)
	}
	if err := os.WriteFile(mark, []byte(p.SHA256), 0o644); err != nil {
		return fmt.Errorf("mark %q: %v", dir, err)
	}
	return nil
}

// unpacked is where p lies unpacked in the cache.
func (a Archive) unpacked(ctx context.Context, p Package) (string, error) {
	dir := filepath.Join(a.Cache, "unpacked", p.Name)
	return dir, a.Unpack(ctx, p, dir)
}

// apt is output for a program of apt's, with the archive's configuration.
func (a Archive) apt(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	if a.own == "" {
		return output(ctx, dir, name, args...)
	}
	return outputWith(ctx, []string{"APT_CONFIG=" + filepath.Join(a.own, confFile)}, dir, name, args...)
}

func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	return outputWith(ctx, nil, dir, name, args...)
}

// outputWith is output with more in the environment.
func outputWith(ctx context.Context, env []string, dir, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not installed; this build needs Debian's apt and dpkg", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %v: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
