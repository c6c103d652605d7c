//go:build guest

package container

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
)

// sendable is a directory of subvolumes on the data disk.
type sendable struct {
	*testing.T
	path string
	dir  *os.File
}

func newSendable(t *testing.T) sendable {
	t.Helper()
	path, err := os.MkdirTemp("/data", "send-")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := sys.OpenDir(path)
	if err == nil {
		err = btrfs.EnableSimpleQuota(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := sendable{t, path, dir}
	t.Cleanup(func() {
		for _, name := range s.names() {
			if err := btrfs.DeleteSubvolume(dir, name); err != nil {
				t.Error(err)
			}
		}
		dir.Close()
		os.Remove(path)
	})
	return s
}

func (s sendable) names() (list []string) {
	s.Helper()
	entries, err := os.ReadDir(s.path)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func (s sendable) open(name string) *os.File {
	s.Helper()
	f, err := sys.OpenDir(filepath.Join(s.path, name))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { f.Close() })
	return f
}

// snapshot takes one of live, and is the stream that makes it, or makes it of parent.
func (s sendable) snapshot(name, parent string) []byte {
	s.Helper()
	if err := btrfs.Snapshot(s.open("live"), s.dir, name, true); err != nil {
		s.Fatal(err)
	}
	return s.send(name, parent)
}

func (s sendable) send(name, parent string) []byte {
	s.Helper()
	var p *os.File
	if parent != "" {
		p = s.open(parent)
	}
	var b bytes.Buffer
	if err := btrfs.Send(s.Context(), s.open(name), p, &b); err != nil {
		s.Fatal(err)
	}
	return b.Bytes()
}

// receive makes name of a stream, within limit bytes.
func (s sendable) receive(b []byte, name, parent string, limit int64) error {
	s.Helper()
	t := stream.Target{Dir: s.dir, Name: name, Rules: stream.Rules{Has: func(id uint32) bool { return id < 65536 }},
		Prepare: func(d *os.File) error { return btrfs.LimitSubvolume(d, limit) }}
	if parent != "" {
		t.Parent = s.open(parent)
	}
	_, err := stream.Receive(s.Context(), bytes.NewReader(b), t)
	return err
}

// tree is what lies below a directory, a line for each.
func (s sendable) tree(name string) string {
	s.Helper()
	var lines []string
	top := filepath.Join(s.path, name)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		what := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%x", sha256.Sum256(raw))
		case unix.S_IFLNK:
			if what, err = os.Readlink(path); err != nil {
				return err
			}
		}
		var attributes []string
		buf := make([]byte, 4096)
		if n, err := unix.Llistxattr(path, buf); err == nil {
			for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
				value := make([]byte, 4096)
				if n, err := unix.Lgetxattr(path, name, value); err == nil {
					attributes = append(attributes, fmt.Sprintf("%s=%x", name, value[:n]))
				}
			}
		}
		size := st.Size
		if d.IsDir() {
			size = 0
		}
		lines = append(lines, fmt.Sprint(strings.TrimPrefix(path, top), " ", fmt.Sprintf("%o", st.Mode), " ", st.Uid, ":", st.Gid, " ",
			st.Nlink, " ", size, " ", st.Rdev, " ", st.Mtim, " ", what, " ", attributes))
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func (s sendable) do(errs ...error) {
	s.Helper()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

// TestSendReceive: what a container can have in a layer or volume is the same after it was sent and received, whole and by differences,
// also from the receiver on to a third; its quota counts from the first byte; a stream that is cut, or goes on from something else, leaves
// nothing.
func TestSendReceive(t *testing.T) {
	s := newSendable(t)
	const mib = 1 << 20
	s.do(btrfs.CreateSubvolume(s.dir, "live"))
	live := filepath.Join(s.path, "live")
	at := func(name string) string { return filepath.Join(live, name) }
	random := make([]byte, 3*mib)
	for i := range random {
		random[i] = byte(i * i >> 7)
	}
	s.do(os.MkdirAll(at("u/etc/a b"), 0o755), os.MkdirAll(at("w/work"), 0o755), os.WriteFile(at("u/big"), random, 0o644),
		os.WriteFile(at("u/etc/sudo"), []byte("x"), 0o755), os.Chown(at("u/etc/sudo"), 33, 65535),
		os.Chmod(at("u/etc/sudo"), 0o755|os.ModeSetuid), os.Symlink("../../../../etc/shadow", at("u/etc/a b/link")),
		os.Link(at("u/big"), at("u/etc/big2")), os.Lchown(at("u/etc/a b/link"), 5, 6),
		unix.Mkfifo(at("u/pipe"), 0o620), unix.Mknod(at("u/gone"), unix.S_IFCHR, 0), unix.Mknod(at("u/sock"), unix.S_IFSOCK|0o700, 0),
		unix.Setxattr(at("u/etc"), "user.overlay.opaque", []byte("y"), 0), os.Chmod(at("w/work"), 0),
		unix.Setxattr(at("u/etc/sudo"), "security.capability", append([]byte{1, 0, 0, 2, 0, 4}, make([]byte, 14)...), 0),
		os.WriteFile(at("u/\xff\xfe"), []byte("no utf-8"), 0o600))
	sparse, err := os.Create(at("u/sparse"))
	s.do(err)
	_, err = sparse.WriteAt([]byte("end"), 16*mib)
	s.do(err, sparse.Close())
	big, err := os.Open(at("u/big"))
	s.do(err)
	shared, err := os.Create(at("u/shared"))
	s.do(err, unix.IoctlFileCloneRange(int(shared.Fd()), &unix.FileCloneRange{Src_fd: int64(big.Fd())}), big.Close(), shared.Close())

	whole := s.snapshot("s1", "")
	if len(whole) > 4*mib {
		t.Errorf("%d bytes are sent: what is shared is sent twice, or holes are", len(whole))
	}
	s.do(s.receive(whole, "r1", "", 16*mib))
	if got, want := s.tree("r1"), s.tree("s1"); got != want {
		t.Errorf("received:\n%s\nwas:\n%s", got, want)
	}
	if n, err := btrfs.SubvolumeBytes(s.open("r1")); err != nil || n < 3*mib || n > 4*mib {
		t.Errorf("its quota counts %d bytes, %v", n, err)
	}
	if err := os.WriteFile(filepath.Join(s.path, "r1/u/new"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("it can be written: %v", err)
	}

	// the next ones are differences, of what the receiver received
	s.do(os.Rename(at("u/etc/a b"), at("u/moved")), os.Remove(at("u/pipe")), os.Remove(at("u/etc/big2")),
		os.WriteFile(at("u/pipe"), []byte("a file now"), 0o600), os.Truncate(at("u/big"), mib), os.RemoveAll(at("u/etc")),
		os.Symlink("/etc", at("u/etc")), unix.Setxattr(at("u/big"), "user.note", []byte("n"), 0), os.Chmod(live, 0o711))
	delta := s.snapshot("s2", "s1")
	s.do(os.WriteFile(at("u/late"), random[:mib], 0o640), os.Remove(at("u/moved/link")))
	delta2 := s.snapshot("s3", "s2")
	if len(delta) > mib/2 || len(delta2) > 2*mib {
		t.Errorf("differences of %d and %d bytes", len(delta), len(delta2))
	}
	for _, c := range []struct {
		what         string
		b            []byte
		name, parent string
		want         error
	}{
		{"the second difference before the first", delta2, "r3", "r1", stream.ErrParent},
		{"a difference of nothing", delta, "r2", "", stream.ErrParent},
		{"a whole one on another", whole, "r2", "r1", stream.ErrParent},
		{"more than its quota", whole, "r9", "", unix.EDQUOT},
	} {
		if err := s.receive(c.b, c.name, c.parent, 2*mib); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
	for _, cut := range []int{0, 17, 100, len(whole) - 1} {
		if err := s.receive(whole[:cut], "r9", "", 16*mib); !errors.Is(err, stream.ErrBroken) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	if got, want := s.names(), []string{"live", "r1", "s1", "s2", "s3"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	s.do(s.receive(delta, "r2", "r1", 16*mib), s.receive(delta2, "r3", "r2", 16*mib))
	s.do(s.receive(s.send("r1", ""), "third1", "", 16*mib), s.receive(s.send("r3", "r1"), "third3", "third1", 16*mib))
	for _, c := range [][2]string{{"r2", "s2"}, {"r3", "s3"}, {"third1", "s1"}, {"third3", "s3"}} {
		if got, want := s.tree(c[0]), s.tree(c[1]); got != want {
			t.Errorf("%s:\n%s\n%s was:\n%s", c[0], got, c[1], want)
		}
	}

	// whoever stops listening ends the kernel's work
	if err := btrfs.Send(t.Context(), s.open("live"), nil, io.Discard); err == nil || !strings.Contains(err.Error(), "not read-only") {
		t.Errorf("what changes is sent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := btrfs.Send(ctx, s.open("s1"), nil, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled send: %v", err)
	}
	if err := btrfs.Send(t.Context(), s.open("s1"), nil, short{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a send that nobody takes: %v", err)
	}
}

// short takes nothing.
type short struct{}

func (short) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
