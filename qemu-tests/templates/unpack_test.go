//go:build qemu

package templates

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	containerprofile "hardnode.dev/agent/container/profile"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/qemu-tests/harness"
)

// inBox names the variable by which this program knows that it shall become a box's program.
const inBox = "HARDNODE_TEST_BOX"

// boxes counts them: each has ids of its own.
var boxes atomic.Int64

// build makes templates and returns the folder of their layouts.
func build(t *testing.T, names ...string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "make", "-C", root, "templates", "TEMPLATES="+strings.Join(names, " "))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("make templates: %v", err)
	}
	return filepath.Join(root, "out/templates")
}

// newBox unpacks a template.
func newBox(t *testing.T, layouts, name string) *box {
	t.Helper()
	return newBoxAt(t, layouts, name, t.TempDir())
}

// newBoxAt unpacks a template into an empty directory.
func newBoxAt(t *testing.T, layouts, name, root string) *box {
	t.Helper()
	b := &box{T: t, name: name, root: root}
	index, err := layout.ImageIndexFromPath(filepath.Join(layouts, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	b.config = cfg.Config
	b.profile = host.Profile(b.config.Labels[host.LabelProfile])
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	b.made(func() error {
		for _, l := range layers {
			if err := b.unpack(l); err != nil {
				return err
			}
		}
		return nil
	})
	return b
}

// made gives the box its root, by filling it, its ids and its network; it is ended and removed with the test.
func (b *box) made(fill func() error) {
	b.Helper()
	if b.ids = 1 << 20 * int(boxes.Add(1)); b.root == "" {
		b.root = b.TempDir()
	}
	if err := fill(); err != nil {
		b.Fatalf("unpack %s: %v", b.name, err)
	}
	if err := errors.Join(os.Chown(b.root, b.ids, b.ids), os.Chmod(b.root, 0o755), os.Chmod(filepath.Dir(b.root), 0o755)); err != nil {
		b.Fatal(err)
	}
	var err error
	if b.user, err = ids(b.root, b.config.User); err != nil {
		b.Fatal(err)
	}
	if b.wire, err = newWire(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		b.end()
		close(b.wire.work)
	})
}

// unpack adds a layer; all in it is the box's root's or user's, which are ids of this box.
func (b *box) unpack(l v1.Layer) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := zstd.NewReader(bufio.NewReader(r))
	if err != nil {
		return err
	}
	defer z.Close()
	return b.entries(z)
}

// entries adds what a tar has in it.
func (b *box) entries(r io.Reader) error {
	root, err := os.OpenRoot(b.root)
	if err != nil {
		return err
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = b.entry(root, h, tr)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

func (b *box) entry(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return root.Lchown(name, b.ids+h.Uid, b.ids+h.Gid)
	case tar.TypeLink:
		return root.Link(filepath.Clean(h.Linkname), name)
	case tar.TypeReg:
		root.Remove(name)
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		return nil // devices are the host's
	}
	if err := root.Lchown(name, b.ids+h.Uid, b.ids+h.Gid); err != nil {
		return err
	}
	return unix.Fchmodat(unix.AT_FDCWD, filepath.Join(b.root, name), uint32(h.Mode&0o7777), 0)
}

// ids are the numbers of an image's user, as uid:gid.
func ids(root, user string) (string, error) {
	if user == "" {
		return "0:0", nil
	}
	raw, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Split(line, ":"); f[0] == user {
			return f[2] + ":" + f[3], nil
		}
	}
	return "", fmt.Errorf("user %q is not in the image", user)
}

// TestMain runs the tests, or becomes a box's program.
func TestMain(m *testing.M) {
	if root := os.Getenv(inBox); root != "" {
		fmt.Fprintln(os.Stderr, "become a box:", enter(root))
		os.Exit(125)
	}
	if user := os.Getenv(inBox + "_USER"); user != "" { // nsenter has entered
		unix.CloseOnExec(3) // this program
		fmt.Fprintln(os.Stderr, "become a program of a box:", become(user))
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// enter makes the box's root this process's, with what a host puts into it, and becomes its program. It returns if it can't.
func enter(root string) error {
	user, cwd := os.Getenv(inBox+"_USER"), os.Getenv(inBox+"_CWD")
	os.Unsetenv(inBox + "_CWD")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "proc", ""}, {"tmpfs", "dev", "mode=0755"}, {"tmpfs", "dev/shm", "mode=1777"}, {"tmpfs", "tmp", "mode=1777"},
	} {
		at := filepath.Join(root, m.at)
		if err := errors.Join(os.MkdirAll(at, 0o755), unix.Mount(m.kind, at, m.kind, unix.MS_NOSUID, m.options)); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for _, d := range []string{"null", "zero", "full", "random", "urandom"} {
		at := filepath.Join(root, "dev", d)
		err := os.WriteFile(at, nil, 0o666)
		if err := errors.Join(err, unix.Mount("/dev/"+d, at, "", unix.MS_BIND, "")); err != nil {
			return fmt.Errorf("bind %s: %w", d, err)
		}
	}
	for at, to := range map[string]string{"stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "fd": "fd"} {
		if err := os.Symlink("/proc/self/"+to, filepath.Join(root, "dev", at)); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Sethostname([]byte("box")), unix.Chroot(root), unix.Chdir("/"+cwd)); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	return become(user)
}

// become makes this process a user that is confined as the spawner confines it (agent/spawner/fork), and then the program that its
// arguments name. It returns if it can't.
func become(user string) error {
	settings, err := containerprofile.Of(host.Profile(os.Getenv(inBox + "_PROFILE")))
	if err != nil {
		return err
	}
	may := settings.Process(host.Process{}, "box")
	for _, v := range []string{"", "_USER", "_PROFILE"} {
		os.Unsetenv(inBox + v)
	}
	runtime.LockOSThread() // what is taken is taken from this thread, and the one that executes the program is the one that is left
	for n := uintptr(0); n <= unix.CAP_LAST_CAP; n++ {
		if may.Caps&(1<<n) == 0 {
			// a kernel may not know the last ones
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0); err != nil && err != unix.EINVAL {
				return fmt.Errorf("drop capability %d: %w", n, err)
			}
		}
	}
	if may.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forbid new privileges: %w", err)
		}
	}
	u, g, _ := strings.Cut(user, ":")
	uid, _ := strconv.Atoi(u)
	gid, _ := strconv.Atoi(g)
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("become %s: %w", user, err)
	}
	if uid == 0 { // another user has none any more
		lo, hi := uint32(may.Caps), uint32(may.Caps>>32)
		set := [2]unix.CapUserData{{Effective: lo, Permitted: lo}, {Effective: hi, Permitted: hi}}
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &set[0]); err != nil {
			return fmt.Errorf("keep capabilities %#x: %w", may.Caps, err)
		}
	}
	program, err := exec.LookPath(os.Args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args[1:], os.Environ())
}
