package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// volume is a folder whose files are found by their numbers without the right that it needs.
func volume(t testing.TB) (*Volume, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	find := func(n uint64, flags int) (fd int, err error) {
		err = unix.ESTALE
		filepath.WalkDir(dir, func(path string, _ fs.DirEntry, werr error) error {
			var st unix.Stat_t
			if werr == nil && unix.Lstat(path, &st) == nil && st.Ino == n {
				fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
				return filepath.SkipAll
			}
			return nil
		})
		return fd, err
	}
	return &Volume{root: root, dev: st.Dev, top: st.Ino, byNum: find, has: func(id uint32) bool { return id < 1<<16 },
		space: func() (int64, int64, error) { return 1 << 20, 1 << 19, nil }}, dir
}

// asker asks a session as a kernel does.
type asker struct {
	s *Session
	n uint64
}

func (a *asker) ask(op message.Op, node uint64, body ...[]byte) ([]byte, unix.Errno) {
	a.n += 2
	r := message.Request{Op: op, Unique: a.n, Node: node, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Body: bytes.Join(body, nil)}
	b := a.s.Answer(r, make([]byte, message.AnswerAt, message.Max))
	unique, errno, err := message.ParseAnswer(b)
	if err != nil || unique != r.Unique {
		panic("BUG: an answer of a wrong form")
	}
	return b[message.AnswerAt:], errno
}

func name(s string) []byte { return append([]byte(s), 0) }

func words(v ...uint32) (b []byte) {
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func longs(v ...uint64) (b []byte) {
	for _, w := range v {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func writing(handle, at uint64, data string, flags uint32) []byte {
	return append(append(longs(handle, at), words(uint32(len(data)), 0, 0, 0, flags, 0)...), data...)
}

func reading(handle, at uint64, size uint32) []byte {
	return append(longs(handle, at), words(size, 0, 0, 0, 0, 0)...)
}

func (a *asker) create(t *testing.T, dir uint64, file string) (node, handle uint64) {
	t.Helper()
	b, errno := a.ask(message.Create, dir, words(unix.O_RDWR|unix.O_EXCL, unix.S_IFREG|0o664, 0, 0), name(file))
	if errno != 0 || len(b) != message.EntrySize+16 {
		t.Fatalf("create %q: %v, %d bytes", file, errno, len(b))
	}
	return nodeOf(b), binary.LittleEndian.Uint64(b[message.EntrySize:])
}

func TestFiles(t *testing.T) {
	v, dir := volume(t)
	a := &asker{s: NewSession(v, false, 9)}
	defer a.s.Close()
	node, handle := a.create(t, message.Root, "file")
	if st, err := os.Stat(filepath.Join(dir, "file")); err != nil || st.Mode() != 0o664 {
		t.Errorf("made: %v, %v; want the mode that was asked for, whatever the umask is", st.Mode(), err)
	}
	if b, errno := a.ask(message.Write, node, writing(handle, 0, "hello", 0)); errno != 0 || binary.LittleEndian.Uint32(b) != 5 {
		t.Errorf("write: %x, %v", b, errno)
	}
	if _, errno := a.ask(message.Write, node, writing(handle, 0, " all", unix.O_APPEND)); errno != 0 {
		t.Errorf("append: %v", errno)
	}
	if b, errno := a.ask(message.Read, node, reading(handle, 1, 100)); errno != 0 || string(b) != "ello all" {
		t.Errorf("read: %q, %v", b, errno)
	}
	if b, errno := a.ask(message.Read, node, reading(0, 1, 3)); errno != 0 || string(b) != "ell" {
		t.Errorf("read by a handle of an earlier process: %q, %v", b, errno)
	}
	if _, errno := a.ask(message.FSync, node, longs(handle, 0)); errno != 0 {
		t.Errorf("fsync: %v", errno)
	}
	if _, errno := a.ask(message.FSync, node, longs(8<<32|1, 0)); errno != unix.EIO {
		t.Errorf("fsync of what was opened before the machine was started again: %v", errno)
	}
	if _, errno := a.ask(message.Unlink, message.Root, name("file")); errno != 0 {
		t.Errorf("unlink: %v", errno)
	}
	if b, errno := a.ask(message.Read, node, reading(handle, 0, 4)); errno != 0 || string(b) != "hell" {
		t.Errorf("read of what has no name any more: %q, %v", b, errno)
	}
	if b, errno := a.ask(message.GetAttr, node, words(1, 0), longs(handle)); errno != 0 || binary.LittleEndian.Uint64(b[24:]) != 9 {
		t.Errorf("its size: %x, %v", b, errno)
	}
	a.ask(message.Release, node, longs(handle, 0, 0))
	if _, errno := a.ask(message.Read, node, reading(handle, 0, 4)); errno != unix.ESTALE || len(a.s.mu.open) != 0 {
		t.Errorf("read of what has gone: %v; %d files are open", errno, len(a.s.mu.open))
	}
	if b, errno := a.ask(message.StatFS, message.Root); errno != 0 || len(b) != 80 || binary.LittleEndian.Uint64(b)*uint64(
		binary.LittleEndian.Uint32(b[40:])) != 1<<20 {
		t.Errorf("its size is said to be %x, %v; want the quota", b, errno)
	}
}

// TestAgain: what comes again is not done again.
func TestAgain(t *testing.T) {
	v, _ := volume(t)
	a := &asker{s: NewSession(v, false, 1)}
	defer a.s.Close()
	node, handle := a.create(t, message.Root, "file")
	for _, c := range []struct {
		op   message.Op
		node uint64
		body []byte
	}{
		{message.MkDir, message.Root, append(words(0o755, 0), name("dir")...)},
		{message.Rename, message.Root, append(longs(1), append(name("dir"), name("dir2")...)...)},
		{message.RmDir, message.Root, name("dir2")},
		{message.Write, node, writing(handle, 0, "once", unix.O_APPEND)},
		{message.Link, message.Root, append(longs(node), name("second")...)},
		{message.Unlink, message.Root, name("second")},
		{message.Unlink, message.Root, name("nothing")},
	} {
		first, errno := a.ask(c.op, c.node, c.body)
		r := message.Request{Op: c.op, Unique: a.n | message.Resent, Node: c.node, Body: c.body}
		b := a.s.Answer(r, make([]byte, message.AnswerAt, message.Max))
		unique, again, err := message.ParseAnswer(b)
		if err != nil || again != errno || unique != r.Unique || !bytes.Equal(b[message.AnswerAt:], first) {
			t.Errorf("operation %d: %v %x, again %v %x", c.op, errno, first, again, b)
		}
	}
	if b, _ := a.ask(message.Read, node, reading(handle, 0, 100)); string(b) != "once" {
		t.Errorf("what was appended once and asked for twice: %q", b)
	}
	for range 2 * remembered {
		a.ask(message.Unlink, message.Root, name("nothing"))
	}
	if len(a.s.mu.done) != remembered || len(a.s.mu.order) != remembered || len(a.s.mu.running) != 0 {
		t.Errorf("%d answers are kept, %d numbers, %d run", len(a.s.mu.done), len(a.s.mu.order), len(a.s.mu.running))
	}
}

// TestHostile: what no kernel would ask for.
func TestHostile(t *testing.T) {
	v, dir := volume(t)
	a := &asker{s: NewSession(v, false, 1)}
	defer a.s.Close()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "way out")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	number := func(of string) uint64 {
		st, err := os.Lstat(filepath.Join(dir, of))
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Ino
	}
	out, pipe := number("way out"), number("pipe")
	for _, c := range []struct {
		what string
		op   message.Op
		node uint64
		body []byte
		want unix.Errno
	}{
		{"the directory above", message.Lookup, 1, name(".."), unix.EINVAL},
		{"a path", message.Lookup, 1, name("way out/secret"), unix.EINVAL},
		{"an absolute path", message.Lookup, 1, name("/etc/passwd"), unix.EINVAL},
		{"no name", message.Lookup, 1, name(""), unix.EINVAL},
		{"a name without an end", message.Lookup, 1, []byte("x"), unix.EINVAL},
		{"two names", message.Lookup, 1, []byte("x\x00y\x00"), unix.EINVAL},
		{"a long name", message.Lookup, 1, name(string(bytes.Repeat([]byte("x"), 256))), unix.ENAMETOOLONG},
		{"through a link", message.Lookup, out, name("secret"), unix.ENOTDIR},
		{"open of a link", message.Open, out, words(0, 0), unix.ENXIO},
		{"open of a pipe", message.Open, pipe, words(unix.O_RDWR, 0), unix.ENXIO},
		{"read of a pipe", message.Read, pipe, reading(0, 0, 1), unix.ENXIO},
		{"open of a directory", message.Open, 1, words(0, 0), unix.EISDIR},
		{"a file that is none", message.Open, 1 << 40, words(0, 0), unix.ESTALE},
		{"a device", message.MkNod, 1, append(words(unix.S_IFCHR|0o666, 1<<8|3, 0, 0), name("null")...), unix.EPERM},
		{"a whiteout", message.Rename2, 1, append(append(longs(1, unix.RENAME_WHITEOUT), name("pipe")...), name("p")...), unix.EINVAL},
		{"rename to above", message.Rename, 1, append(append(longs(1), name("pipe")...), name("../p")...), unix.EINVAL},
		{"link to above", message.Link, 1, append(longs(pipe), name("../p")...), unix.EINVAL},
		{"an attribute of the kernel's", message.SetXattr, 1, append(append(words(1, 0), name("security.capability")...), 1),
			unix.EOPNOTSUPP},
		{"an attribute of the root's", message.GetXattr, 1, append(words(10, 0), name("trusted.overlay.opaque")...), unix.EOPNOTSUPP},
		{"an owner outside of the container", message.SetAttr, 1, bytes.Join([][]byte{words(setUID, 0), make([]byte, 68),
			words(1<<20, 0, 0)}, nil), unix.EPERM},
		{"a read without bounds", message.Read, 1, reading(0, 0, 1<<31), unix.EINVAL},
		{"a write of another length", message.Write, 1, append(writing(0, 0, "x", 0), 'y'), unix.EINVAL},
		{"a short request", message.Write, 1, []byte("x"), unix.EINVAL},
		{"a listing of a file", message.ReadDir, pipe, reading(0, 0, 4096), unix.ENOTDIR},
		{"an operation of another time", 4711, 1, nil, unix.ENOSYS},
	} {
		if _, errno := a.ask(c.op, c.node, c.body); errno != c.want {
			t.Errorf("%s: %v, want %v", c.what, errno, c.want)
		}
	}
	r := message.Request{Op: message.MkDir, Unique: 1, Node: 1, UID: 1 << 20, Body: append(words(0o755, 0), name("d")...)}
	if _, errno, _ := message.ParseAnswer(a.s.Answer(r, make([]byte, message.AnswerAt, message.Max))); errno != unix.EPERM {
		t.Errorf("a directory of somebody outside of the container: %v", errno)
	}
	node, _ := a.create(t, message.Root, "f")
	refused := unix.Errno(0)
	for range maxFiles {
		_, refused = a.ask(message.Open, node, words(0, 0))
	}
	if refused != unix.ENFILE || len(a.s.mu.open) != maxFiles {
		t.Errorf("%d files are open, the last one: %v", len(a.s.mu.open), refused)
	}
}

func TestReadOnly(t *testing.T) {
	v, dir := volume(t)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &asker{s: NewSession(v, true, 1)}
	defer a.s.Close()
	b, errno := a.ask(message.Lookup, 1, name("f"))
	if errno != 0 {
		t.Fatal(errno)
	}
	node := nodeOf(b)
	for op, o := range ops {
		body := append(make([]byte, o.fixed), bytes.Repeat([]byte("n\x00"), o.names)...)
		if _, errno := a.ask(op, node, body); o.changes && errno != unix.EROFS {
			t.Errorf("operation %d: %v", op, errno)
		}
	}
	if _, errno := a.ask(message.Open, node, words(unix.O_WRONLY, 0)); errno != unix.EROFS {
		t.Errorf("open for writing: %v", errno)
	}
	if _, errno := a.ask(message.Open, node, words(0, 0)); errno != 0 {
		t.Errorf("open: %v", errno)
	}
}

// TestList: a listing in parts has each name once.
func TestList(t *testing.T) {
	v, dir := volume(t)
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i%26))+string(rune('a'+i/26))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &asker{s: NewSession(v, false, 1)}
	defer a.s.Close()
	for op, head := range map[message.Op]int{message.ReadDir: 0, message.ReadDirPlus: message.EntrySize} {
		seen, at := map[string]bool{}, uint64(0)
		for {
			b, errno := a.ask(op, 1, reading(0, at, 1024))
			if errno != 0 {
				t.Fatal(errno)
			}
			if len(b) == 0 {
				break
			}
			for len(b) > 0 {
				at = binary.LittleEndian.Uint64(b[head+8:])
				n := string(b[head+24:][:binary.LittleEndian.Uint32(b[head+16:])])
				if seen[n] {
					t.Fatalf("%q is there twice", n)
				}
				if head > 0 && n != "." && n != ".." && nodeOf(b) != binary.LittleEndian.Uint64(b[head:]) {
					t.Errorf("%q is %d and %d", n, nodeOf(b), binary.LittleEndian.Uint64(b[head:]))
				}
				seen[n] = true
				b = b[head+message.NameSize(n):]
			}
		}
		if len(seen) != 102 {
			t.Errorf("operation %d: %d names, want 102", op, len(seen))
		}
	}
}

// TestServe: a connection with a ping, a request, and then something that is no request.
func TestServe(t *testing.T) {
	v, _ := volume(t)
	s := NewSession(v, false, 1)
	defer s.Close()
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), there) }()
	here.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, message.Max)
	for _, r := range []message.Request{{Op: message.Ping}, {Op: message.StatFS, Unique: 4, Node: 1}} {
		if _, err := here.Write(r.Bytes()); err != nil {
			t.Fatal(err)
		}
		b, err := message.ReadOne(here, buf, message.AnswerAt)
		if err != nil {
			t.Fatal(err)
		}
		if unique, errno, err := message.ParseAnswer(b); unique != r.Unique || errno != 0 || err != nil {
			t.Errorf("answer to %d: %d, %v, %v", r.Unique, unique, errno, err)
		}
	}
	here.Write([]byte("GET / HTTP/1.1\r\n"))
	if err := <-done; err == nil {
		t.Error("what is no request is served")
	}
}

func FuzzAnswer(f *testing.F) {
	for op, o := range ops {
		f.Add(uint32(op), uint64(1), append(make([]byte, o.fixed), bytes.Repeat([]byte("n\x00"), o.names)...))
	}
	v, _ := volume(f)
	s := NewSession(v, false, 1)
	n := uint64(0)
	f.Fuzz(func(t *testing.T, op uint32, node uint64, body []byte) {
		if len(body) > message.MaxData {
			return
		}
		n += 2
		r := message.Request{Op: message.Op(op), Unique: n, Node: node, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Body: body}
		b := s.Answer(r, make([]byte, message.AnswerAt, message.Max))
		if unique, _, err := message.ParseAnswer(b); err != nil || unique != n {
			t.Errorf("answer %x: %v", b, err)
		}
	})
}
