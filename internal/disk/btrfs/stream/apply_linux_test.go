package stream

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// applied does commands in a new directory, beside which a file lies that must not change.
func applied(t *testing.T, rules Rules, commands ...[]byte) (top, outside string, err error) {
	t.Helper()
	dir := t.TempDir()
	top, outside = filepath.Join(dir, "top"), filepath.Join(dir, "outside")
	if err := errors.Join(os.Mkdir(top, 0o700), os.Mkdir(outside, 0o700),
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := header(1)
	for _, c := range commands {
		b = append(b, c...)
	}
	b = append(b, command(1, End)...)
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	a := applier{top: f, rules: rules, own: btrfs.Identity{UUID: btrfs.UUID(bytes.Repeat([]byte{1}, 16)), Transid: 9}}
	return top, outside, a.all(context.Background(), r)
}

func mk(kind Kind, path string, more ...part) []byte {
	return command(1, kind, append([]part{str(aPath, path)}, more...)...)
}

// TestApply: what a stream says is there afterwards.
func TestApply(t *testing.T) {
	top, _, err := applied(t, Rules{},
		mk(MkDir, "o257-7-0"), mk(Rename, "o257-7-0", str(aPathTo, "d")), mk(MkFile, "o258-7-0"),
		mk(Rename, "o258-7-0", str(aPathTo, "d/f")), mk(Write, "d/f", num(aFileOffset, 0), str(aData, "hello ")),
		mk(Write, "d/f", num(aFileOffset, 6), str(aData, "world, and more")), mk(Truncate, "d/f", num(aSize, 11)),
		mk(Link, "g", str(aPathLink, "d/f")), mk(Symlink, "s", str(aPathLink, "/etc/passwd")), mk(MkFIFO, "p"), mk(MkSock, "k"),
		mk(Chmod, "d/f", num(aMode, 0o100640)), mk(UTimes, "d/f", when(aATime), when(aMTime), when(aCTime)),
		mk(Chown, "s", num(aUID, uint64(os.Getuid())), num(aGID, uint64(os.Getgid()))),
		mk(SetXattr, "d/f", str(aXattrName, "trusted.hardnode.group"), str(aXattrData, "1")),
		mk(MkFile, "gone"), mk(Unlink, "gone"), mk(MkDir, "gone"), mk(RmDir, "gone"),
		mk(Chmod, "", num(aMode, 0o750)), mk(UTimes, "", when(aATime), when(aMTime), when(aCTime)))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(top, "g")); string(b) != "hello world" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if st, err := os.Stat(filepath.Join(top, "d/f")); err != nil || st.Mode() != 0o640 || st.ModTime().UnixNano() != 1 {
		t.Errorf("got %v, %v", st, err)
	}
	if to, err := os.Readlink(filepath.Join(top, "s")); to != "/etc/passwd" || err != nil {
		t.Errorf("got %q, %v", to, err)
	}
	for name, want := range map[string]os.FileMode{"p": os.ModeNamedPipe, "k": os.ModeSocket, ".": os.ModeDir | 0o750} {
		if st, err := os.Lstat(filepath.Join(top, name)); err != nil || st.Mode().Type() != want.Type() {
			t.Errorf("%s: got %v, %v", name, st, err)
		}
	}
	if n, err := unix.Lgetxattr(filepath.Join(top, "d/f"), "trusted.hardnode.group", nil); err == nil {
		t.Errorf("an attribute of the host's was set: %d bytes", n)
	}
	if st, err := os.Stat(top); err != nil || st.ModTime().UnixNano() != 1 {
		t.Errorf("got %v, %v", st, err)
	}
	if list, _ := os.ReadDir(top); len(list) != 5 {
		t.Errorf("there are %v", list)
	}
}

// TestNothingOutside: a stream that means to reach what is not its own is refused, and has changed nothing there.
func TestNothingOutside(t *testing.T) {
	out := mk(Symlink, "out", str(aPathLink, "../outside"))
	note := []part{str(aXattrName, "user.x"), str(aXattrData, "1")}
	secret := mk(Symlink, "s", str(aPathLink, "../outside/secret"))
	for name, c := range map[string]struct {
		commands [][]byte
		want     error // nil: any
	}{
		"a file through a link":      {[][]byte{out, mk(MkFile, "out/new")}, unix.ELOOP},
		"a directory through a link": {[][]byte{out, mk(MkDir, "out/new")}, unix.ELOOP},
		"a link through a link":      {[][]byte{out, mk(Symlink, "out/new", str(aPathLink, "x"))}, unix.ELOOP},
		"a name for what is outside": {[][]byte{out, mk(Link, "mine", str(aPathLink, "out/secret"))}, unix.ELOOP},
		"taken in":                   {[][]byte{out, mk(Rename, "out/secret", str(aPathTo, "mine"))}, unix.ELOOP},
		"moved out":                  {[][]byte{out, mk(MkFile, "f"), mk(Rename, "f", str(aPathTo, "out/new"))}, unix.ELOOP},
		"deleted":                    {[][]byte{out, mk(Unlink, "out/secret")}, unix.ELOOP},
		"written":                    {[][]byte{secret, mk(Write, "s", num(aFileOffset, 0), str(aData, "x"))}, unix.ELOOP},
		"written below":              {[][]byte{out, mk(Write, "out/secret", num(aFileOffset, 0), str(aData, "x"))}, unix.ELOOP},
		"cut":                        {[][]byte{secret, mk(Truncate, "s", num(aSize, 0))}, unix.ELOOP},
		"its mode":                   {[][]byte{secret, mk(Chmod, "s", num(aMode, 0o777))}, unix.EOPNOTSUPP},
		"its mode below":             {[][]byte{out, mk(Chmod, "out/secret", num(aMode, 0o777))}, unix.ELOOP},
		"its attributes":             {[][]byte{secret, mk(SetXattr, "s", note...)}, unix.EPERM},
		"its attributes below":       {[][]byte{out, mk(SetXattr, "out/secret", note...)}, unix.ELOOP},
		"its times":                  {[][]byte{out, mk(UTimes, "out/secret", when(aATime), when(aMTime), when(aCTime))}, unix.ELOOP},
		"a swapped directory": {[][]byte{mk(MkDir, "d"), mk(MkFile, "d/f"), mk(Rename, "d", str(aPathTo, "e")),
			mk(Symlink, "d", str(aPathLink, "../outside")), mk(Write, "d/secret", num(aFileOffset, 0), str(aData, "x"))}, unix.ELOOP},
		"a swapped file": {[][]byte{mk(MkFile, "f"), mk(Write, "f", num(aFileOffset, 0), str(aData, "x")), mk(Unlink, "f"),
			mk(Symlink, "f", str(aPathLink, "../outside/secret")),
			mk(Write, "f", num(aFileOffset, 0), str(aData, "x"))}, unix.ELOOP},
		"a device":                    {[][]byte{mk(MkNod, "n", num(aMode, unix.S_IFBLK), num(aRDev, 9))}, ErrBroken},
		"a character device":          {[][]byte{mk(MkNod, "n", num(aMode, unix.S_IFCHR), num(aRDev, 257))}, ErrBroken},
		"a pipe that nobody reads":    {[][]byte{mk(MkFIFO, "p"), mk(Write, "p", num(aFileOffset, 0), str(aData, "x"))}, nil},
		"a directory that is written": {[][]byte{mk(MkDir, "d"), mk(Write, "d", num(aFileOffset, 0), str(aData, "x"))}, nil},
		"before the beginning":        {[][]byte{mk(MkFile, "f"), mk(Write, "f", num(aFileOffset, 1<<63), str(aData, "x"))}, ErrBroken},
		"another's bytes": {[][]byte{mk(MkFile, "f"), mk(Clone, "f", num(aFileOffset, 0), num(aCloneLen, 1), named(aCloneUUID, 5),
			num(aCloneCTransID, 9), str(aClonePath, "x"), num(aCloneOffset, 0))}, ErrBroken},
		"bytes through a link": {[][]byte{secret, mk(MkFile, "f"), mk(Clone, "f", num(aFileOffset, 0), num(aCloneLen, 6),
			named(aCloneUUID, 1), num(aCloneCTransID, 9), str(aClonePath, "s"), num(aCloneOffset, 0))}, unix.ELOOP},
		"an unknown owner":         {[][]byte{mk(MkFile, "f"), mk(Chown, "f", num(aUID, 70000), num(aGID, 0))}, ErrBroken},
		"no owner":                 {[][]byte{mk(MkFile, "f"), mk(Chown, "f", num(aUID, 0), num(aGID, 1<<32-1))}, ErrBroken},
		"the top directory's name": {[][]byte{mk(Rename, "", str(aPathTo, "x"))}, ErrBroken},
		"the top directory moved":  {[][]byte{mk(MkFile, "f"), mk(Rename, "f", part{aPathTo, nil})}, ErrBroken},
		"a second subvolume":       {[][]byte{mk(Subvol, "x", named(aUUID, 1), num(aCTransID, 9))}, ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			_, outside, err := applied(t, Rules{Has: func(id uint32) bool { return id < 65536 }}, c.commands...)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			list, _ := os.ReadDir(outside)
			st, serr := os.Stat(filepath.Join(outside, "secret"))
			b, rerr := os.ReadFile(filepath.Join(outside, "secret"))
			if len(list) != 1 || serr != nil || st.Mode() != 0o600 || string(b) != "secret" || rerr != nil || st.ModTime().Unix() == 0 {
				t.Errorf("outside: %v, %v, %q, %v", list, st, b, rerr)
			}
		})
	}
}

// TestBegin: a stream is taken only where it goes on from.
func TestBegin(t *testing.T) {
	for name, c := range map[string]struct {
		first []byte
		want  string
	}{
		"anything": {mk(MkFile, "x"), "begins with command 3"},
		"no parent": {mk(Snapshot, "x", named(aUUID, 1), num(aCTransID, 9), named(aCloneUUID, 2), num(aCloneCTransID, 3)),
			"goes on from subvolume 0202"},
		"cut behind": {nil, "ends in the middle"},
	} {
		_, err := Receive(context.Background(), bytes.NewReader(append(header(1), c.first...)), Target{Name: "x"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
