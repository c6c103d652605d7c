package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"hardnode.dev/internal/backup/far"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// keepBackups is a host that keeps backups: none of node 103, which it runs, and no chunk of node 106, for which it has no room. The link
// to it breaks once, in the middle of what is put there first.
func (f *fake) keepBackups(ctx context.Context, c *websocket.Conn, change bool) host.Exit {
	f.mu.Lock()
	f.shelf.f = f
	breaks := change && !f.shelf.broke
	f.shelf.broke = f.shelf.broke || breaks
	f.mu.Unlock()
	in := stdin(ctx, c)
	if breaks {
		in = io.LimitReader(in, 512)
	}
	err := far.Serve(ctx, &f.shelf, change, in, channel{ctx, c, host.ChanStdout})
	switch {
	case breaks:
		return host.Exit{Code: 255, Error: "the link to the host broke: not all of the output may be here", Broken: true}
	case err != nil && ctx.Err() == nil:
		return host.Exit{Code: 125, Error: err.Error()}
	}
	return host.Exit{}
}

// fakeShelf keeps objects in memory.
type fakeShelf struct {
	f       *fake
	objects map[string][]byte
	broke   bool
}

func (s *fakeShelf) May(_ context.Context, node wire.CTID) error {
	if node == 103 {
		return errors.New("node 103 runs on this very host")
	}
	return nil
}

func (s *fakeShelf) Room(context.Context) (far.Room, error) {
	return far.Room{Limit: 20 << 30, Used: 5 << 20}, nil
}

func (s *fakeShelf) Put(_ context.Context, name string, _ int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	if strings.HasPrefix(name, "106/") && strings.HasSuffix(name, ".age") {
		return fmt.Errorf("put %s: this host keeps 20480 MiB of other hosts' backups, and they are full", name)
	}
	s.objects[name] = data
	return err
}

func (s *fakeShelf) Get(_ context.Context, name string) (io.ReadCloser, int64, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	data, ok := s.objects[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (s *fakeShelf) List(_ context.Context, prefix string) (names []string, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s *fakeShelf) Delete(_ context.Context, name string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	delete(s.objects, name)
	return nil
}
