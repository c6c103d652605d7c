// Package backup keeps backups of nodes in a directory, an S3 store or another place, and finds out whether they are sound.
//
// Owns: how backups lie there: DIR/<node>/<backup>/manifest.json and 000000-<sum>.age, 000001-<sum>.age…; the manifest, written last, and
// until then cut.json; which go by a rule.
// In: backups as internal/wire/backup says, encrypted by the host; names of places; a key that its operator keeps.
// Out: chains of backups, decrypted; errors that name the backup, the chunk and what is wrong with it.
// Never: has a key longer than a call takes, changes a backup that is there, or believes what a store says before its checksum is right.
//
// Whoever can write to a store can put another backup there that anyone who knows the recipient could have made: the checksums find what
// broke, not who wrote it.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Place is where backups lie. Names are parts with slashes between, of letters, digits, hyphens and dots.
type Place interface {
	// Put makes an object of data, whole or not at all. One that is there is replaced.
	Put(ctx context.Context, name string, data []byte) error
	// Get reads an object of at most so many bytes. The error is fs.ErrNotExist when there is none.
	Get(ctx context.Context, name string, most int64) ([]byte, error)
	// List is the names that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// Open is the place that a person names: a directory, or s3://BUCKET/PREFIX. env is os.Getenv, or another.
func Open(name string, env func(string) string) (Place, error) {
	if !strings.HasPrefix(name, "s3://") {
		return openDir(name)
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("place %q: want s3://BUCKET or s3://BUCKET/PREFIX", name)
	}
	if strings.ContainsFunc(u.Host+u.Path, odd) {
		return nil, fmt.Errorf("place %q: want letters, digits, hyphens, dots and slashes only", name)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	s := &store{bucket: u.Host, prefix: prefix, region: env("AWS_REGION"), id: env("AWS_ACCESS_KEY_ID"),
		secret: env("AWS_SECRET_ACCESS_KEY"), token: env("AWS_SESSION_TOKEN")}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if s.id == "" || s.secret == "" {
		return nil, fmt.Errorf("place %q: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL if it is not Amazon's",
			name)
	}
	endpoint := env("AWS_ENDPOINT_URL")
	if endpoint == "" {
		endpoint = "https://s3." + s.region + ".amazonaws.com"
	}
	if s.base, err = url.Parse(endpoint); err != nil || s.base.Host == "" || s.base.Scheme != "https" && s.base.Scheme != "http" {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL %q: want such as https://s3.example.com", endpoint)
	}
	return s, nil
}

// odd are characters that stores write differently in addresses.
func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '-' || r > '9') && r != '_'
}

// directory is a place on this machine.
type directory struct{ top string }

func openDir(name string) (Place, error) {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("place %q: there is no such directory: make it first", name)
	case err != nil:
		return nil, fmt.Errorf("place: %w", err)
	case !st.IsDir():
		return nil, fmt.Errorf("place %q: is no directory", name)
	}
	return directory{filepath.Clean(name)}, nil
}

func (d directory) path(name string) string { return filepath.Join(d.top, filepath.FromSlash(name)) }

func (d directory) Put(_ context.Context, name string, data []byte) (err error) {
	path := d.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil { // of its name too, where directories can be synced
		dir.Sync()
		dir.Close()
	}
	return nil
}

func (d directory) Get(_ context.Context, name string, most int64) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bounded(f, name, most)
}

// bounded reads r, which must not be longer than most.
func bounded(r io.Reader, name string, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: has more than %d bytes", name, most)
	}
	return b, err
}

func (d directory) List(ctx context.Context, prefix string) (names []string, err error) {
	top := d.path(prefix[:strings.LastIndexByte(prefix, '/')+1])
	err = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		rel, err := filepath.Rel(d.top, path)
		if name := filepath.ToSlash(rel); err == nil && strings.HasPrefix(name, prefix) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

func (d directory) Delete(_ context.Context, name string) error {
	path := d.path(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(path); dir != d.top && os.Remove(dir) == nil; dir = filepath.Dir(dir) { // if nothing else is in it
	}
	return nil
}
