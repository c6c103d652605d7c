//go:build qemu

package templates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// patience is how long a box may take for what it does in seconds.
const patience = 2 * time.Minute

// box is a node of a template on this machine.
type box struct {
	*testing.T
	name   string
	root   string
	config v1.Config
	ids    int // the first of its 65,536 ids
	wire   *wire
	user   string // uid:gid
	// profile is what its programs may do, "" is app: they have the capabilities that a container's have, no more
	profile host.Profile
	cmd     *exec.Cmd
	log     *tail
	ended   chan struct{}
	env     []string
}

// tail keeps what a box writes.
type tail struct {
	sync.Mutex
	bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(b)
}

func (l *tail) String() string {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.String()
}

// start runs the box's program; env counts more than the image's.
func (b *box) start(env ...string) {
	b.Helper()
	b.env = slices.Concat(b.config.Env, env)
	b.cmd = exec.Command("/proc/self/exe", slices.Concat(b.config.Entrypoint, b.config.Cmd)...)
	b.cmd.Env = slices.Concat([]string{inBox + "=" + b.root, inBox + "_USER=" + b.user,
		inBox + "_PROFILE=" + string(b.profile), inBox + "_CWD=" + b.config.WorkingDir}, b.env)
	b.log, b.ended = &tail{}, make(chan struct{})
	out, in, err := b.pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.cmd.Stdout, b.cmd.Stderr = in, in
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: b.ids, Size: 65536}}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{}, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	err = b.wire.do(b.cmd.Start)
	in.Close()
	if err != nil {
		b.cmd = nil
		out.Close()
		b.Fatalf("start %s: %v", b.name, err)
	}
	cmd, log, ended := b.cmd, b.log, b.ended
	go func() {
		io.Copy(log, out)
		out.Close()
		cmd.Wait()
		close(ended)
	}()
}

// signal sends the program a signal.
func (b *box) signal(s os.Signal) {
	b.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.Fatalf("signal %s: %v", b.name, err)
	}
}

// stop ends the box by its own signal, which must be enough.
func (b *box) stop() {
	b.Helper()
	n := unix.SignalNum(b.config.StopSignal)
	if n == 0 {
		n = syscall.SIGTERM
	}
	b.signal(n)
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.Fatalf("%s: did not end %s after %s:\n%s", b.name, patience, b.config.StopSignal, b.log)
	}
}

// end kills what is left of the box.
func (b *box) end() {
	if b.cmd == nil {
		return
	}
	b.cmd.Process.Kill()
	<-b.ended
	if b.Failed() {
		b.Logf("log of %s:\n%s", b.name, b.log)
	}
}

// command is a program inside the box, as its user or another ("0:0"). This program goes in as the box's root, by its descriptor, and has
// what the box's programs may not do taken from it before it becomes that one.
func (b *box) command(ctx context.Context, user string, env []string, args ...string) *exec.Cmd {
	b.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { self.Close() })
	cmd := exec.CommandContext(ctx, "nsenter", slices.Concat([]string{"-t", fmt.Sprint(b.cmd.Process.Pid), "-U", "-m", "-p", "-i", "-u",
		"-n", "--root", "--wd", "--", "/proc/self/fd/3"}, args)...)
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = slices.Concat(env, []string{inBox + "_USER=" + user, inBox + "_PROFILE=" + string(b.profile)})
	return cmd
}

// says runs a command in the box as its user and returns what it writes.
func (b *box) says(args ...string) (string, error) {
	return b.saysAs(b.user, args...)
}

func (b *box) saysAs(user string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	cmd := b.command(ctx, user, b.env, args...)
	out, in, err := b.pipe()
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = in, in, time.Second
	err = cmd.Start()
	in.Close()
	if err != nil {
		return "", err
	}
	text, failed := io.ReadAll(out)
	return strings.TrimSpace(string(text)), errors.Join(cmd.Wait(), failed)
}

// pipe is one that is the box's root's, as on a host: a program may open it again by name.
func (b *box) pipe() (out, in *os.File, err error) {
	if out, in, err = os.Pipe(); err == nil {
		err = in.Chown(b.ids, b.ids)
	}
	return out, in, err
}

// want runs a command until it writes what is wanted.
func (b *box) want(what string, args ...string) {
	b.Helper()
	var got string
	var err error
	b.until(strings.Join(args, " "), func() bool {
		got, err = b.says(args...)
		return err == nil && got == what
	}, func() string { return fmt.Sprintf("got %q, %v, want %q", got, err, what) })
}

// must runs a command that must succeed.
func (b *box) must(args ...string) string {
	b.Helper()
	got, err := b.says(args...)
	if err != nil {
		b.Fatalf("%s: %s: %v: %s\n%s", b.name, strings.Join(args, " "), err, got, b.log)
	}
	return got
}

// until waits for something; it stops early when the box has ended.
func (b *box) until(what string, is func() bool, why func() string) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		select {
		case <-b.ended:
			b.Fatalf("%s: %s: the program ended: %s; %s\n%s", b.name, what, b.cmd.ProcessState, why(), b.log)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %s: not after %s: %s\n%s", b.name, what, patience, why(), b.log)
		}
	}
}

// logged waits for a line in the log.
func (b *box) logged(text string) {
	b.Helper()
	b.until("log says "+text, func() bool { return strings.Contains(b.log.String(), text) }, func() string { return "" })
}

// get asks by HTTP from the box's own network.
func (b *box) get(url string) (code int, head http.Header, body string, err error) {
	var conn net.Conn
	err = b.wire.do(func() (err error) {
		conn, err = dial(url)
		return err
	})
	if err != nil {
		return 0, nil, "", err
	}
	defer conn.Close()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, "", err
	}
	t := &http.Transport{DialContext: given(conn), DisableKeepAlives: true}
	defer t.CloseIdleConnections()
	resp, err := (&http.Client{Transport: t, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(raw), err
}

// page waits until a URL answers with a code and a text.
func (b *box) page(url string, code int, text string) {
	b.Helper()
	var got int
	var body string
	var err error
	b.until(url, func() bool {
		got, _, body, err = b.get(url)
		return err == nil && got == code && strings.Contains(body, text)
	}, func() string { return fmt.Sprintf("got %d, %v, %.300q, want %d and %q", got, err, body, code, text) })
}

// put writes a file in the box, as the owner would by hnctl node cp.
func (b *box) put(path, content string, mode os.FileMode) {
	b.Helper()
	file := filepath.Join(b.root, path)
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), mode), os.Chmod(file, mode),
		os.Chown(file, b.ids, b.ids))
	for d := filepath.Dir(file); d != b.root; d = filepath.Dir(d) {
		var st unix.Stat_t
		if unix.Stat(d, &st) == nil && st.Uid == 0 {
			err = errors.Join(err, os.Chown(d, b.ids, b.ids))
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}
