package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"
)

// ErrAbsent: the source has no file of this name.
var ErrAbsent = errors.New("there is no such file")

// Source is where a repository's metadata lies: a mirror nobody has to trust. Get reads at most limit bytes of a file; it fails with
// ErrAbsent where there is none, and with a Refusal (Endless, Slow) when it gives up on one.
type Source interface {
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
}

// Folder is a Source of files.
type Folder struct{ FS fs.FS }

// Get reads a file; one that is longer than limit is Endless.
func (d Folder) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	f, err := d.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bounded(f, name, limit)
}

// Files is a Source in memory, by name.
type Files map[string][]byte

// Get is the file of that name.
func (m Files) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	raw, ok := m[name]
	if !ok {
		return nil, ErrAbsent
	}
	return bounded(bytes.NewReader(raw), name, limit)
}

// Web is a Source behind HTTP. It follows no redirect and never waits without an end: go-tuf's own fetcher does both.
type Web struct {
	Base     string        // URL of the folder, with a slash at its end
	Client   *http.Client  // nil is http.DefaultClient
	Patience time.Duration // for one file, from the request to its last byte; 0 is a minute
}

// Get fetches a file.
func (w Web) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	patience := w.Patience
	if patience == 0 {
		patience = time.Minute
	}
	slow := &Refusal{Kind: Slow, Reason: fmt.Sprintf("%s did not come whole within %s", name, patience), Next: nextMirror}
	ctx, end := context.WithTimeoutCause(ctx, patience, slow)
	defer end()
	raw, err := w.get(ctx, name, limit)
	if err != nil && context.Cause(ctx) == error(slow) {
		return nil, slow
	}
	return raw, err
}

func (w Web) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Base+name, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{}
	if w.Client != nil {
		client = *w.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return bounded(resp.Body, name, limit)
	case http.StatusNotFound:
		return nil, ErrAbsent
	}
	return nil, fmt.Errorf("the answer is %s", resp.Status)
}

func bounded(r io.Reader, name string, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, &Refusal{Kind: Endless, Reason: fmt.Sprintf("%s has more than the %d bytes it may have", name, limit), Next: nextMirror}
	}
	return raw, nil
}
