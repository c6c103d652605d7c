// Package build tells which Hardnode this program is.
//
// Owns: the version and the time of the build: those of File, which every root of ours has, else those stamped at link time.
// In: File of the root that the program lies in, which need not be the one that it runs in, read once at start; for programs that run on
// machines of people, -ldflags "-X hardnode.dev/internal/build.version=… -X hardnode.dev/internal/build.seconds=…".
// Out: Version and Time; the time of the build for clocks that are behind it.
// Never: fails: what can't be read is taken for absent.
//
// The version lies in one file of a root, not in each program: a program that didn't change is the same in the next release, byte for byte.
package build

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Package is the path to stamp at link time: Package.version and Package.seconds.
const Package = "hardnode.dev/internal/build"

// File is in the root of a host and of a component's image: version and time, each on a line of its own.
const File = "/usr/lib/hardnode/build"

// Set at link time, where there is no File.
var (
	version = "0.1.0-dev"
	seconds = "0"
)

// Version is a semantic version such as "0.1.0" or "0.1.0-dev"; Time is the build's commit time in Unix seconds as text, "0" if it isn't
// known.
var Version, Time = which(fileOf(os.Executable()))

// fileOf is the File of the root that a program lies in: a program that replaced another one while a host runs lies in a root of its own.
func fileOf(program string, err error) string {
	if dir := filepath.Dir(program); err == nil && strings.HasSuffix(dir, filepath.Dir(File)) {
		return filepath.Join(dir, filepath.Base(File))
	}
	return File
}

// Text is File's content.
func Text(version, time string) string { return version + "\n" + time + "\n" }

// which reads the file; what is no such file counts as none.
func which(file string) (string, string) {
	f, err := os.Open(file)
	if err != nil {
		return version, seconds
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 1000))
	if lines := strings.Split(string(raw), "\n"); err == nil && len(lines) == 3 && lines[0] != "" && lines[2] == "" {
		if n, err := strconv.ParseInt(lines[1], 10, 64); err == nil && n >= 0 {
			return lines[0], lines[1]
		}
	}
	return version, seconds
}

// When is the time of the build's commit; the zero Unix time when it isn't known. No clock may be earlier (DESIGN "Join").
func When() time.Time {
	n, err := strconv.ParseInt(Time, 10, 64)
	if err != nil {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(n, 0).UTC()
}
