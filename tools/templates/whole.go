package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/tools/templates/recipe"
)

// epoch is the time of every file of a whole Debian that is newer: the same packages give the same bytes (reproducible-builds.org).
var epoch = time.Date(2023, 6, 10, 0, 0, 0, 0, time.UTC)

// install makes a whole Debian with mmdebstrap and returns it as a tar, with the version of the package that gives the template its own.
func install(ctx context.Context, s recipe.Recipe, say func(string, ...any)) (raw []byte, version string, err error) {
	dir, err := os.MkdirTemp("", "template-")
	if err != nil {
		return nil, "", fmt.Errorf("install Debian: %v", err)
	}
	defer os.RemoveAll(dir)
	w, to := s.Debian.Whole, filepath.Join(dir, "root.tar")
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(w.Packages, ","),
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"}
	for _, c := range w.Run {
		args = append(args, "--customize-hook=chroot \"$1\" sh -ec '"+strings.ReplaceAll(c, "'", `'\''`)+"'")
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, w.Suite, to)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	say("installing Debian %s with %d packages", w.Suite, len(w.Packages))
	if err := cmd.Run(); err != nil {
		return nil, "", fmt.Errorf("install Debian %s: mmdebstrap: %v: %s", w.Suite, err, lastLine(out.String()))
	}
	if raw, err = os.ReadFile(to); err != nil {
		return nil, "", fmt.Errorf("install Debian: %v", err)
	}
	version, err = installed(raw, s.Debian.VersionOf)
	return raw, version, err
}

// installed is the version of a package in a root's tar (dpkg's status file).
func installed(root []byte, name string) (string, error) {
	for r := tar.NewReader(bytes.NewReader(root)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("the Debian has no list of packages")
		}
		if err != nil {
			return "", fmt.Errorf("read the Debian: %v", err)
		}
		if filepath.Clean(h.Name) != "var/lib/dpkg/status" {
			continue
		}
		here := false
		for in := bufio.NewScanner(r); in.Scan(); {
			key, value, _ := strings.Cut(in.Text(), ": ")
			switch {
			case key == "Package":
				here = value == name
			case key == "Version" && here:
				return value, nil
			}
		}
		return "", fmt.Errorf("package %s is not installed in the Debian", name)
	}
}

// sizeOf is what a tar takes unpacked, in bytes.
func sizeOf(raw []byte) (n int64, err error) {
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read layer: %v", err)
		}
		n += h.Size
	}
}
