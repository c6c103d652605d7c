package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// deb is one downloaded package.
type deb struct {
	name, version, file string
	sha256              string
	bytes               int64
}

const (
	dataArchive    = "data.tar"
	controlArchive = "control.tar"
)

// bookworm: packages are Debian 12's, whatever else the machine's sources offer under a name, such as another Node.js, or has installed.
var bookworm = []string{"-o", "APT::Default-Release=/^bookworm(|-security|-updates)$/", "-o", "Dir::State::status=/dev/null"}

// fetch returns the packages, downloading those that cache lacks with apt-get, which checks Debian's signatures. fresh downloads all of
// them anew. Versions are recorded, never required: Debian's archive keeps only the newest.
func fetch(ctx context.Context, cache string, names []string, fresh bool, say func(string, ...any)) ([]deb, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make package cache: %v", err)
	}
	var missing []string
	for _, n := range names {
		old, _ := filepath.Glob(filepath.Join(cache, n+"_*.deb"))
		if fresh || len(old) != 1 {
			missing = append(missing, n)
			for _, f := range old {
				os.Remove(f)
			}
		}
	}
	if len(missing) > 0 {
		say("downloading %d Debian packages", len(missing))
		cmd := exec.CommandContext(ctx, "apt-get", slices.Concat([]string{"download", "-q"}, bookworm, []string{"--"}, missing)...)
		cmd.Dir = cache
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("download %s: %v: %s; run `make deps` or `apt-get update` first", strings.Join(missing, ", "), err,
				lastLine(out.String()))
		}
	}
	var debs []deb
	for _, n := range names {
		files, _ := filepath.Glob(filepath.Join(cache, n+"_*.deb"))
		if len(files) != 1 {
			return nil, fmt.Errorf("package %q: %d files in %s, want one", n, len(files), cache)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			return nil, fmt.Errorf("read package: %v", err)
		}
		sum := sha256.Sum256(raw)
		parts := strings.Split(filepath.Base(files[0]), "_")
		version, err := url.PathUnescape(parts[1])
		if err != nil || len(parts) != 3 {
			return nil, fmt.Errorf("package file %q: want name_version_arch.deb", files[0])
		}
		debs = append(debs, deb{n, version, files[0], hex.EncodeToString(sum[:]), int64(len(raw))})
	}
	return debs, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "E:") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// each calls f for every entry of one of the package's archives (deb(5): an ar archive with control.tar.* and data.tar.*).
func (d deb) each(archive string, f func(*tar.Header, io.Reader) error) error {
	file, err := os.Open(d.file)
	if err != nil {
		return fmt.Errorf("open package: %v", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	member, err := open(r, archive)
	if err != nil {
		return fmt.Errorf("read package %q: %v", d.file, err)
	}
	defer member.Close()
	tr := tar.NewReader(member)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(h, tr)
		}
		if err != nil {
			return fmt.Errorf("read package %q: %w", d.file, err)
		}
	}
}

// open finds archive.* in the package's ar archive and unpacks it.
func open(r io.Reader, archive string) (io.ReadCloser, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, errors.New("is no ar archive")
	}
	for {
		head := make([]byte, 60)
		if _, err := io.ReadFull(r, head); err != nil {
			return nil, fmt.Errorf("has no %s", archive)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(head[48:58])), 10, 64)
		if err != nil || size < 0 {
			return nil, errors.New("has a broken ar header")
		}
		name, body := strings.TrimRight(string(head[:16]), " /"), io.LimitReader(r, size)
		switch name {
		case archive:
			return io.NopCloser(body), nil
		case archive + ".xz":
			x, err := xz.NewReader(bufio.NewReader(body))
			return io.NopCloser(x), err
		case archive + ".gz":
			return gzip.NewReader(body)
		case archive + ".zst":
			z, err := zstd.NewReader(body)
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, fmt.Errorf("skip %q: %v", name, err)
		}
	}
}
