//go:build guest

package container

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/spec"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// fakeInit runs the spawner as init does: it keeps the descriptors that the spawner stores and hands them to the next one.
type fakeInit struct {
	t    *testing.T
	conn *net.UnixConn
	cmd  *exec.Cmd
	mu   sync.Mutex
	fds  map[string]*os.File
	up   chan struct{}
}

var world struct {
	sync.Once
	init *fakeInit
}

func spawnerUp(t *testing.T) *fakeInit {
	t.Helper()
	world.Do(func() {
		os.MkdirAll("/run/hardnode", 0o755)
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/hardnode/notify", Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		world.init = &fakeInit{t: t, conn: c, fds: map[string]*os.File{}, up: make(chan struct{}, 1)}
		go world.init.listen()
		world.init.start()
	})
	return world.init
}

func (f *fakeInit) listen() {
	b, oob := make([]byte, 4096), make([]byte, 256)
	for {
		n, on, _, _, err := f.conn.ReadMsgUnix(b, oob)
		if err != nil {
			return
		}
		var fd *os.File
		if ms, _ := unix.ParseSocketControlMessage(oob[:on]); len(ms) > 0 {
			if fds, err := unix.ParseUnixRights(&ms[0]); err == nil {
				fd = os.NewFile(uintptr(fds[0]), "kept")
			}
		}
		text := string(b[:n])
		_, name, _ := strings.Cut(text, "FDNAME=")
		f.mu.Lock()
		switch {
		case strings.Contains(text, "FDSTOREREMOVE=1"):
			if old := f.fds[name]; old != nil {
				old.Close()
			}
			delete(f.fds, name)
		case strings.Contains(text, "FDSTORE=1"):
			f.fds[name] = fd
		case strings.Contains(text, "READY=1"):
			f.up <- struct{}{}
		}
		f.mu.Unlock()
	}
}

func (f *fakeInit) start() {
	f.mu.Lock()
	names := slices.Sorted(maps.Keys(f.fds))
	cmd := exec.Command("/usr/lib/hardnode/spawner")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=/run/hardnode/notify", "LISTEN_FDS="+strconv.Itoa(len(names)),
		"LISTEN_FDNAMES="+strings.Join(names, ":"))
	for _, n := range names {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f.fds[n])
	}
	err := cmd.Start()
	f.mu.Unlock()
	if err != nil {
		f.t.Fatal(err)
	}
	f.cmd = cmd
	select {
	case <-f.up:
	case <-time.After(20 * time.Second):
		f.t.Fatal("the spawner is not ready")
	}
}

func (f *fakeInit) kill() {
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

func digestOf(t testing.TB, file string) wire.Digest {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wire.DigestOf(sha256.Sum256(b))
}

var copied sync.Map

// image copies an image of the guest to the data disk once: file-backed mounts need a file on a disk.
func image(t testing.TB, name string) (string, wire.Digest) {
	t.Helper()
	from, to := "/images/"+name+".erofs", "/data/"+name+".erofs"
	if d, ok := copied.Load(name); ok {
		return to, d.(wire.Digest)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(to); err != nil || st.Size() != int64(len(b)) { // another process of this test may have it mounted
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := digestOf(t, to)
	copied.Store(name, d)
	return to, d
}

func newRuntime(t testing.TB) *Runtime {
	t.Helper()
	r, err := New(Options{Log: logging.New(io.Discard, "test", slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// box is a spec of the busybox image that runs a shell script.
func box(t testing.TB, id wire.CTID, script string) StartSpec {
	file, d := image(t, "box")
	return StartSpec{
		Container: host.Container{CTID: id, Env: "test", Layer: "cp", Hostname: "node" + id.String(), Generation: 1, Run: true,
			Image: host.Image{Name: "box", Digest: d}, Profile: host.ProfileApp,
			Process: host.Process{Argv: []string{"sh", "-c", script}, StopAfter: 1},
			Limits:  host.Limits{MemoryMax: 128 << 20, PIDs: 64, DiskBytes: 64 << 20}},
		UIDBase: uint32(id) * 65536, ImagePath: file, Resolv: []byte("nameserver 169.254.1.1\n"), Hosts: []byte("127.0.0.1 localhost\n"),
	}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustStart(t testing.TB, r *Runtime, s StartSpec) Observed {
	t.Helper()
	o, err := r.Start(deadline(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Remove(deadline(t), s.CTID, false); err != nil {
			t.Error(err)
		}
	})
	return o
}

// sh runs a script in a container and returns its output, trimmed, and code.
func sh(t testing.TB, r *Runtime, id wire.CTID, script string) (string, int) {
	t.Helper()
	// Two pipes are copied at the same time: each has a buffer of its own.
	var out, talk bytes.Buffer
	e, err := r.Exec(deadline(t), id, host.ExecSpec{Argv: []string{"sh", "-c", script}}, command.Stdio{Out: &out, Err: &talk})
	if err != nil {
		t.Fatal(err)
	}
	if e.Error != "" {
		t.Fatalf("exec: %s", e.Error)
	}
	return strings.TrimSpace(out.String() + talk.String()), e.Code
}

const forever = "while :; do sleep 1000; done"

func TestStartExecStop(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 101, "echo hello; echo oops >&2; trap 'exit 7' TERM; sleep 1000 & wait")
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data/deep", Bytes: 16 << 20}}
	s.Files = []host.File{{Path: "/run/hardnode/conf/app.json", Mode: 0o400, Data: []byte("{}")}}
	o := mustStart(t, r, s)
	if o.State != StateRunning || o.PID == 0 || o.Generation != 1 || o.FilesHash != spec.Hash(s.Files) {
		t.Errorf("observed %+v", o)
	}
	for script, want := range map[string]string{
		"id -u":                           "0",
		"hostname":                        "node101",
		"cat /etc/resolv.conf":            "nameserver 169.254.1.1",
		"cat /etc/hostname":               "node101",
		"cat /run/hardnode/conf/app.json": "{}",
		"{ echo x > /run/hardnode/x; } 2>&1 || echo ro":     "sh: can't create /run/hardnode/x: Read-only file system\nro",
		"echo d > /var/data/deep/f && cat /var/data/deep/f": "d",
		"cat /proc/self/cgroup":                             "0::/",
		"cat /proc/sys/user/max_user_namespaces":            "0",
		"grep CapBnd /proc/self/status":                     "CapBnd:\t00000000a00405fb",
		"grep CapInh /proc/self/status":                     "CapInh:\t0000000000000000",
		"grep NoNewPrivs /proc/self/status":                 "NoNewPrivs:\t1",
		"grep Seccomp: /proc/self/status":                   "Seccomp:\t2",
		"cat /proc/1/oom_score_adj":                         "100",
		"/run/hardnode/jem service status sleep | grep -o '\"name\":\"sleep\",\"state\":\"active\"'": `"name":"sleep","state":"active"`,
		"/run/hardnode/jem service logs > /dev/null; echo $?":                                        "1",
		"/run/hardnode/jem nonsense > /dev/null; echo $?":                                            "2",
		"ulimit -n":                    "65536",
		"ls -ld /run/app | cut -c1-10": "drwxr-s---",
		"ls /run/hardnode":             "conf\njem",
		"ip link show lo | grep -o 'UP,LOWER_UP\\|LOOPBACK,UP'": "LOOPBACK,UP",
		"mount -t tmpfs none /tmp 2>/dev/null || echo denied":   "denied",
		"cat /proc/kcore | wc -c":                               "0",
		"echo $FOO":                                             "",
	} {
		if got, _ := sh(t, r, 101, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if _, code := sh(t, r, 101, "exit 42"); code != 42 {
		t.Errorf("exit code %d, want 42", code)
	}
	e, err := r.Exec(deadline(t), 101, host.ExecSpec{Argv: []string{"/bin/nosuch"}}, command.Stdio{})
	if err != nil || e.Code != 127 || e.Error == "" {
		t.Errorf("missing program: %+v %v", e, err)
	}
	e, err = r.Exec(deadline(t), 101, host.ExecSpec{Argv: []string{"cat"}},
		command.Stdio{In: io.NopCloser(strings.NewReader("through")), Out: &bytes.Buffer{}})
	if err != nil || e.Code != 0 {
		t.Errorf("cat: %+v %v", e, err)
	}
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrRunning) {
		t.Errorf("second start: %v, want ErrRunning", err)
	}
	var log []string
	if err := r.Logs(deadline(t), 101, host.LogsSpec{}, func(stderr bool, l []byte) error {
		log = append(log, fmt.Sprint(stderr, " ", string(l)))
		return nil
	}); err != nil || !slices.Equal(slices.Sorted(slices.Values(log)), []string{"false hello", "true oops"}) {
		t.Errorf("log %q %v", log, err)
	}
	if err := r.Stop(deadline(t), 101); err != nil {
		t.Fatal(err)
	}
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].State != StateStopped || all[0].Generation != 1 || !slices.Equal(all[0].Volumes, []string{"data"}) {
		t.Errorf("after stop: %+v", all)
	}
}

var _ = filepath.Join
