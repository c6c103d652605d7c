package view

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/procview/render"
	"hardnode.dev/agent/procview/source"
	"hardnode.dev/internal/wire"
)

// fake knows container 123.
type fake struct{ reads int }

var processors = slices.Repeat([]string{"flags\t: " + strings.Repeat("x", 20000)}, 4)

func (f *fake) Exists(id wire.CTID) bool { return id == 123 }
func (f *fake) Values(id wire.CTID, need source.Need) (*render.Values, error) {
	if f.reads++; id != 123 {
		return nil, os.ErrNotExist
	}
	return &render.Values{Host: render.Host{Memory: 1 << 30, CPUs: processors}, CPU: render.CPU{Max: 2},
		Up: time.Duration(f.reads) * time.Second, Memory: render.Memory{Max: 64 << 20, Current: 16 << 20}}, nil
}
func (f *fake) Pressure(id wire.CTID, which string) ([]byte, error) {
	if id != 123 {
		return nil, os.ErrNotExist
	}
	return []byte("some " + which + "\n"), nil
}

func look(v *View, dir uint64, name string) (uint64, fuse.Status) {
	var out fuse.EntryOut
	s := v.Lookup(nil, &fuse.InHeader{NodeId: dir}, name, &out)
	return out.NodeId, s
}

// read opens a file, reads it in parts and closes it.
func read(v *View, n uint64, part int) (string, fuse.Status) {
	in := &fuse.OpenIn{}
	in.NodeId = n
	var out fuse.OpenOut
	if s := v.Open(nil, in, &out); !s.Ok() {
		return "", s
	}
	if out.OpenFlags&fuse.FOPEN_DIRECT_IO == 0 {
		return "", fuse.EINVAL
	}
	var b strings.Builder
	for {
		r := &fuse.ReadIn{Fh: out.Fh, Offset: uint64(b.Len())}
		r.NodeId = n
		got, s := v.Read(nil, r, make([]byte, part))
		if !s.Ok() {
			return b.String(), s
		}
		text, _ := got.Bytes(nil)
		if len(text) == 0 {
			break
		}
		b.Write(text)
	}
	rel := &fuse.ReleaseIn{Fh: out.Fh}
	v.Release(nil, rel)
	return b.String(), fuse.OK
}

func TestNames(t *testing.T) {
	v := New(&fake{})
	dir, s := look(v, 1, "123")
	if !s.Ok() || dir != 123<<8|1 {
		t.Fatalf("the container's directory is %d, %v", dir, s)
	}
	for _, name := range []string{"124", "0", "-1", "0123", "123 ", "", "x", "..", "99999999999999999999", "meminfo"} {
		if n, s := look(v, 1, name); s != fuse.ENOENT {
			t.Errorf("root has %q: %d, %v", name, n, s)
		}
	}
	seen := map[uint64]bool{}
	for _, f := range files {
		at := dir
		if f.dir == pressure {
			at, _ = look(v, dir, pressureName)
		}
		n, s := look(v, at, f.name)
		if !s.Ok() || n != node(123, f.number) || seen[n] {
			t.Errorf("%s is %d, %v", f.name, n, s)
		}
		seen[n] = true
		if _, s := look(v, n, "x"); s != fuse.ENOENT {
			t.Errorf("%s has a child: %v", f.name, s)
		}
		if text, s := read(v, n, 4096); !s.Ok() || text == "" && f.name != "diskstats" && f.name != "cpuinfo" {
			t.Errorf("%s is %q, %v", f.name, text, s)
		}
	}
}

// TestNumbers: a kernel knows files by these numbers, and a later process of another release must know them.
func TestNumbers(t *testing.T) {
	got := ""
	for _, f := range files {
		got += fmt.Sprintf("%d/%d:%s ", f.dir, f.number, f.name)
	}
	const want = "1/2:meminfo 1/3:cpuinfo 1/4:stat 1/5:loadavg 1/6:uptime 1/7:diskstats " +
		"1/8:swaps 1/9:online 64/65:cpu 64/66:io 64/67:memory "
	if got != want {
		t.Errorf("numbers are\n%s\nwant\n%s", got, want)
	}
}

// TestList: one listing says all that looks at each name say.
func TestList(t *testing.T) {
	v := New(&fake{})
	for dir, want := range map[uint64]int{1: 0, node(123, top): 9, node(123, pressure): 3, node(123, 2): 0} {
		in := &fuse.ReadIn{}
		in.NodeId = dir
		plain, plus := fuse.NewDirEntryList(make([]byte, 4096), 0), fuse.NewDirEntryList(make([]byte, 4096), 0)
		if s, p := v.ReadDir(nil, in, plain), v.ReadDirPlus(nil, in, plus); !s.Ok() || !p.Ok() {
			t.Fatal(s, p)
		}
		const entry = 128 // struct fuse_entry_out
		b, names := plain.Bytes(), 0
		for len(b) > 0 {
			var e fuse.DirEntry
			n := 24 + int(binary.NativeEndian.Uint32(b[16:]))
			e.Name = string(b[24:n])
			if child, s := look(v, dir, e.Name); !s.Ok() || child != binary.NativeEndian.Uint64(b) {
				t.Errorf("%d: %q is %d, looked up %d, %v", dir, e.Name, binary.NativeEndian.Uint64(b), child, s)
			}
			names, b = names+1, b[(n+7)&^7:]
		}
		if names != want || len(plus.Bytes()) != len(plain.Bytes())+names*entry {
			t.Errorf("%d: %d names, want %d; %d bytes, with all %d", dir, names, want, len(plain.Bytes()), len(plus.Bytes()))
		}
		in.Offset = uint64(max(want-1, 0))
		rest := fuse.NewDirEntryList(make([]byte, 4096), in.Offset)
		if v.ReadDir(nil, in, rest); want > 0 && (len(rest.Bytes()) == 0 || len(rest.Bytes()) > 32) {
			t.Errorf("%d: from %d on there are %d bytes", dir, in.Offset, len(rest.Bytes()))
		}
	}
}

func TestRead(t *testing.T) {
	f := &fake{}
	v := New(f)
	whole, _ := read(v, node(123, 2), 4096)
	if parts, _ := read(v, node(123, 2), 100); parts != whole || !strings.HasPrefix(whole, "MemTotal:          65536 kB\n") {
		t.Errorf("in parts:\n%s\nin one:\n%s", parts, whole)
	}
	// Who has begun reads on in what it began with, though it has changed.
	for range 5 {
		if text, _ := read(v, node(123, 6), 3); len(strings.Split(text, ".")) != 3 {
			t.Errorf("torn: %q", text)
		}
	}
	if f.reads > 10 {
		t.Errorf("%d readings for some reads within %s", f.reads, fresh)
	}
	for _, n := range []uint64{node(124, 2), node(124, 65)} {
		if _, s := read(v, n, 10); s != fuse.EIO {
			t.Errorf("a container that has gone: %v", s)
		}
	}
	for _, n := range []uint64{1, node(123, 1), node(123, 64), node(123, 99), node(0, 2) + 1<<40} {
		if _, s := read(v, n, 10); s.Ok() {
			t.Errorf("node %d can be read", n)
		}
	}
	in := &fuse.OpenIn{Flags: uint32(os.O_RDWR)}
	in.NodeId = node(123, 2)
	if s := v.Open(nil, in, &fuse.OpenOut{}); s != fuse.EROFS {
		t.Errorf("open for writing: %v", s)
	}
}

// TestSizes: the kernel copies with sendfile(2) as far as a size says.
func TestSizes(t *testing.T) {
	v := New(&fake{})
	for n, want := range map[uint64]struct {
		mode uint32
		size uint64
	}{1: {fuse.S_IFDIR | 0o555, 0}, node(123, 64): {fuse.S_IFDIR | 0o555, 0}, node(123, 2): {fuse.S_IFREG | 0o444, 4096},
		node(123, cpuinfo): {fuse.S_IFREG | 0o444, 40000}, node(123, 9): {fuse.S_IFREG | 0o444, 4096}} {
		in := &fuse.GetAttrIn{}
		in.NodeId = n
		var out fuse.AttrOut
		s := v.GetAttr(nil, in, &out)
		if !s.Ok() || out.Mode != want.mode || out.Size < want.size || want.size <= 4096 && out.Size != want.size {
			t.Errorf("%d: %v, mode %o, size %d, want %o, %d", n, s, out.Mode, out.Size, want.mode, want.size)
		}
		if file := want.size > 0; file != (out.Timeout() == 0) {
			t.Errorf("%d: kept for %s", n, out.Timeout())
		}
	}
	in := &fuse.GetAttrIn{}
	in.NodeId = node(123, 99)
	if s := v.GetAttr(nil, in, &fuse.AttrOut{}); s != fuse.ENOENT {
		t.Errorf("what is not there: %v", s)
	}
}

// TestBounded: readers that never close cost no memory.
func TestBounded(t *testing.T) {
	v := New(&fake{})
	for h := range uint64(20000) {
		if _, err := v.text(node(123, 2), h, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.mu.held) > heldMost/1000 || v.mu.bytes > heldMost {
		t.Errorf("%d texts are held, %d bytes", len(v.mu.held), v.mu.bytes)
	}
}

// conn is a Conn whose kernel is the other end of a socket.
func conn(t testing.TB) (*Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	kernel, dev := os.NewFile(uintptr(fds[0]), "kernel"), os.NewFile(uintptr(fds[1]), "dev")
	t.Cleanup(func() { kernel.Close(); dev.Close() })
	c, err := Open(dev, New(&fake{}))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := kernel.Read(b)
	if err != nil || n != replySize || binary.NativeEndian.Uint32(b[4:]) != notifyResend || binary.NativeEndian.Uint64(b[8:]) != 0 {
		t.Fatalf("said first: %x, %v; want that open requests are sent again", b[:n], err)
	}
	return c, kernel
}

// request is one of the kernel's.
func request(opcode uint32, unique, node uint64, rest ...byte) []byte {
	b := make([]byte, headerSize, headerSize+len(rest))
	binary.NativeEndian.PutUint32(b, uint32(headerSize+len(rest)))
	binary.NativeEndian.PutUint32(b[4:], opcode)
	binary.NativeEndian.PutUint64(b[8:], unique)
	binary.NativeEndian.PutUint64(b[16:], node)
	return append(b, rest...)
}

func TestServe(t *testing.T) {
	c, kernel := conn(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx) }()
	kernel.SetDeadline(time.Now().Add(time.Minute))
	ask := func(r []byte) (int32, []byte) {
		t.Helper()
		if _, err := kernel.Write(r); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64<<10)
		n, err := kernel.Read(b)
		if err != nil || n < replySize || int(binary.NativeEndian.Uint32(b)) != n ||
			binary.NativeEndian.Uint64(b[8:]) != binary.NativeEndian.Uint64(r[8:]) {
			t.Fatalf("answer %x to %x: %v", b[:n], r, err)
		}
		return int32(binary.NativeEndian.Uint32(b[4:])), b[replySize:n]
	}
	const resent = 1 << 63 // FUSE_UNIQUE_RESEND
	code, entry := ask(request(1, 2|resent, 1, []byte("123\x00")...))
	if code != 0 || binary.NativeEndian.Uint64(entry) != node(123, 1) {
		t.Errorf("lookup: %d %x", code, entry)
	}
	if code, _ := ask(request(1, 4, 1, []byte("9\x00")...)); code != -int32(unix.ENOENT) {
		t.Errorf("lookup of nothing: %d", code)
	}
	read := make([]byte, 40)
	binary.NativeEndian.PutUint32(read[16:], 4096)
	if code, text := ask(request(15, 6, node(123, 2), read...)); code != 0 || !strings.HasPrefix(string(text), "MemTotal:") {
		t.Errorf("read: %d %.20q", code, text)
	}
	for op, want := range map[uint32]unix.Errno{16: unix.ENOSYS, 4: unix.ENOSYS, 999: unix.ENOSYS} { // write, setattr, something new
		if code, _ := ask(request(op, 8, node(123, 2), make([]byte, 128)...)); code != -int32(want) {
			t.Errorf("operation %d: %d", op, code)
		}
	}
	if !c.Well(time.Hour) {
		t.Error("is not well")
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(request(1, 1, 1, []byte("123\x00")...))
	f.Add(request(15, 1, node(123, 2), make([]byte, 40)...))
	f.Add(request(28, 1, node(123, 64), make([]byte, 40)...))
	f.Add(request(26, 1, 0, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, r []byte) {
		if len(r) < headerSize {
			return // the kernel's are whole
		}
		c, _ := conn(t)
		reply := c.answer(r, make([]byte, maxRead+4096))
		if len(reply) > 0 && (len(reply) < replySize || int(binary.NativeEndian.Uint32(reply)) != len(reply)) {
			t.Errorf("answer %x", reply)
		}
	})
}
