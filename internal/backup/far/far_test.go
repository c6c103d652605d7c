package far

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/wire"
)

// memory is a Shelf that takes nothing of node 7.
type memory map[string][]byte

func (m memory) May(_ context.Context, node wire.CTID) error {
	if node == 7 {
		return errors.New("not of node 7")
	}
	return nil
}

func (m memory) Room(context.Context) (Room, error) { return Room{100, int64(len(m))}, nil }

func (m memory) Put(_ context.Context, name string, _ int64, r io.Reader) error {
	if strings.HasPrefix(name, "8/") { // nothing is read of it
		return errors.New("no room")
	}
	data, err := io.ReadAll(r)
	m[name] = data
	return err
}

func (m memory) Get(_ context.Context, name string) (io.ReadCloser, int64, error) {
	data, ok := m[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (m memory) List(_ context.Context, prefix string) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (m memory) Delete(_ context.Context, name string) error { delete(m, name); return nil }

// place asks a Shelf; the streams that it dials are ended after so many bytes of answers, 0: not at all.
func place(t *testing.T, s Shelf, change bool, cutAfter ...int64) *Place {
	t.Helper()
	p := &Place{Of: "host b", Pause: time.Millisecond}
	p.Dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		var out io.Writer = there
		if len(cutAfter) > 0 && cutAfter[0] > 0 {
			out = &cutting{there, cutAfter[0]}
		}
		if len(cutAfter) > 0 {
			cutAfter = cutAfter[1:]
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Serve(ctx, s, change, there, out)
			there.Close()
		}()
		t.Cleanup(func() { here.Close(); <-ended })
		return here, nil
	}
	t.Cleanup(p.Close)
	return p
}

// cutting ends a stream behind so many bytes.
type cutting struct {
	net.Conn
	left int64
}

func (c *cutting) Write(b []byte) (int, error) {
	n := min(int64(len(b)), c.left)
	c.left -= n
	c.Conn.Write(b[:n])
	if n < int64(len(b)) {
		c.Conn.Close()
		return int(n), io.ErrClosedPipe
	}
	return int(n), nil
}

const chunk = "101/20261127-101502/000000-0123456789abcdef.age"

func TestPlace(t *testing.T) {
	for _, cuts := range [][]int64{nil, {1}, {10, 30, 2}, {50000}} {
		m := memory{}
		p := place(t, m, true, cuts...)
		ctx := t.Context()
		data := bytes.Repeat([]byte("x"), 100_000)
		for _, name := range []string{chunk, "101/20261127-101502/manifest.json", "102/1/cut.json"} {
			if err := p.Put(ctx, name, data); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := p.Get(ctx, chunk, 100_000); err != nil || !bytes.Equal(got, data) {
			t.Errorf("cuts %v: %d bytes, %v", cuts, len(got), err)
		}
		if _, err := p.Get(ctx, chunk, 99_999); err == nil || !strings.Contains(err.Error(), "at most 99999") {
			t.Errorf("more than is wanted: %v", err)
		}
		if _, err := p.Get(ctx, "103/1/cut.json", 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing: %v", err)
		}
		for prefix, want := range map[string]int{"": 3, "101/": 2, "101/20261127-101502/": 2, "9/": 0} {
			if names, err := p.List(ctx, prefix); err != nil || len(names) != want {
				t.Errorf("list %q: %q, %v", prefix, names, err)
			}
		}
		if r, err := p.Room(ctx); err != nil || r != (Room{100, 3}) {
			t.Errorf("room %v, %v", r, err)
		}
		if err := p.May(ctx, 7); err == nil || err.Error() != "host b: not of node 7" {
			t.Errorf("may: %v", err)
		}
		if err := p.Put(ctx, "8/1/cut.json", data); err == nil || err.Error() != "host b: no room" {
			t.Errorf("no room: %v", err)
		}
		if err := errors.Join(p.Delete(ctx, chunk), p.Delete(ctx, chunk), p.May(ctx, 6)); err != nil || len(m) != 2 {
			t.Errorf("delete: %v, %d are there", err, len(m))
		}
	}
}

// TestRefused: names that are none of backups, what a reader may not, and what is put of a node that may not, never reach the shelf.
func TestRefused(t *testing.T) {
	m := memory{"102/1/cut.json": []byte("x")}
	ctx := t.Context()
	p, reader := place(t, m, true), place(t, m, false)
	for _, name := range []string{"", "x", "../../etc/passwd", "101/../102/cut.json", "/101/1/cut.json", "101//cut.json",
		"101/1/other.json", "101/1/cut.json/", "0101/1/cut.json", "101/a/cut.json", "101/1/1-0123456789abcdef.age",
		"101/1/000001-0123456789abcdeF.age",
		"101/1/000001-0123456789abcde.age", "101/1/000001-0123456789abcdef.age.age", "new/1/cut.json",
		"101/1/+00001-0123456789abcdef.age"} {
		_, err := p.Get(ctx, name, 9)
		for _, err := range []error{err, p.Put(ctx, name, []byte("x")), p.Delete(ctx, name)} {
			if err == nil || !strings.Contains(err.Error(), "names nothing of a backup") {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	for _, prefix := range []string{"/", "..", "../", "101", "101/1", "101/1/2/", "0101/", "101/../", "new/"} {
		if _, err := p.List(ctx, prefix); err == nil || !strings.Contains(err.Error(), "is no folder of backups") {
			t.Errorf("list %q: %v", prefix, err)
		}
	}
	if err := p.Put(ctx, "7/1/cut.json", nil); err == nil || !strings.Contains(err.Error(), "not of node 7") {
		t.Errorf("of node 7: %v", err)
	}
	for _, err := range []error{reader.Put(ctx, chunk, nil), reader.Delete(ctx, "102/1/cut.json"), reader.May(ctx, 1)} {
		if err == nil || !strings.Contains(err.Error(), "for reading only") {
			t.Errorf("a reader: %v", err)
		}
	}
	if len(m) != 1 {
		t.Errorf("there is %v", m)
	}
	if got, err := reader.Get(ctx, "102/1/cut.json", 1); err != nil || string(got) != "x" {
		t.Errorf("a reader gets %q, %v", got, err)
	}
}

// TestGone: a side that can't be reached, or refuses, is said, and not waited for.
func TestGone(t *testing.T) {
	dials := 0
	p := &Place{Of: "host b", Pause: time.Hour, Dial: func(context.Context) (io.ReadWriteCloser, error) {
		dials++
		return nil, errors.New("it is UNREACHABLE")
	}}
	if _, err := p.List(t.Context(), ""); err == nil || err.Error() != "host b: it is UNREACHABLE" || dials != 1 {
		t.Errorf("got %v after %d calls", err, dials)
	}
	good := place(t, memory{}, true)
	if _, err := good.Room(t.Context()); err != nil {
		t.Fatal(err)
	}
	good.Close()
	good.Dial = func(context.Context) (io.ReadWriteCloser, error) {
		dials++
		if dials < 4 {
			return nil, errors.New("not yet")
		}
		return nil, fmt.Errorf("%w: removed", ErrRefused)
	}
	if _, err := good.Room(t.Context()); !errors.Is(err, ErrRefused) || dials != 4 {
		t.Errorf("got %v after %d calls", err, dials)
	}
}

// FuzzServe: whatever is asked, nothing is kept but objects with the names of backups' objects, and nothing panics.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"what":"put","name":"` + chunk + `","bytes":3}` + "\nabc" + `{"what":"list"}` + "\n"))
	f.Add([]byte(`{"what":"get","name":"../x"}` + "\n"))
	f.Add([]byte(`{"what":"put","name":"` + chunk + `","bytes":99999999999}` + "\n"))
	f.Add([]byte(`{"what":"delete","name":"101/1/manifest.json","bytes":-1}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := memory{}
		Serve(t.Context(), m, true, bytes.NewReader(in), io.Discard)
		for name := range m {
			if _, err := backup.ParseObject(name); err != nil {
				t.Errorf("%q was put: %v", name, err)
			}
		}
	})
}
