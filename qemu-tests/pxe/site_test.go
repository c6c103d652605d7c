//go:build qemu

package pxe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// siteAddr is the address of the site's servers, otherAddr that of netboot where it is a machine of its own.
const (
	siteAddr  = "10.88.0.1"
	otherAddr = "10.88.0.2"
)

// site is a running site.
type site struct {
	t    *testing.T
	cmd  *exec.Cmd
	said struct {
		sync.Mutex
		lines []string
		news  chan struct{} // closed at the next line
		ended bool
	}
	done chan struct{}
}

// open starts a site on the switch: files of root, and programs beside it.
func open(t *testing.T, sw *ether.Switch, root string, programs ...string) *site {
	t.Helper()
	return openAt(t, sw, siteAddr, root, programs...)
}

// openAt starts a site that has another address; its port on the switch has the address as its name.
func openAt(t *testing.T, sw *ether.Switch, addr, root string, programs ...string) *site {
	t.Helper()
	args := []string{"-address", addr + "/24", "-root", root}
	for _, p := range programs {
		args = append(args, "-run", p)
	}
	cable, theirs, err := cable()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	s := &site{t: t, cmd: exec.Command(tool(t, "site"), args...), done: make(chan struct{})}
	s.said.news = make(chan struct{})
	s.cmd.ExtraFiles = []*os.File{theirs}
	// The servers end with the first process of their PID namespace, whatever they do to their rights.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start the site's servers: %v", err)
	}
	sw.Connect(addr, cable)
	go s.read(bufio.NewScanner(out))
	t.Cleanup(s.close)
	s.sees(0, `site: open`)
	return s
}

func (s *site) read(out *bufio.Scanner) {
	defer close(s.done)
	for out.Scan() {
		s.said.Lock()
		s.said.lines = append(s.said.lines, out.Text())
		close(s.said.news)
		s.said.news = make(chan struct{})
		s.said.Unlock()
	}
	s.cmd.Wait()
	s.said.Lock()
	s.said.ended = true
	close(s.said.news)
	s.said.Unlock()
}

// close ends all servers.
func (s *site) close() {
	s.cmd.Process.Kill()
	<-s.done
	if s.t.Failed() {
		s.said.Lock()
		defer s.said.Unlock()
		s.t.Logf("the site said:\n%s", strings.Join(s.said.lines[max(0, len(s.said.lines)-60):], "\n"))
	}
}

// mark is the place up to which the site has spoken.
func (s *site) mark() int {
	s.said.Lock()
	defer s.said.Unlock()
	return len(s.said.lines)
}

// sees waits for a line of the site's servers after the mark, and returns the pattern's groups.
func (s *site) sees(mark int, pattern string) []string {
	s.t.Helper()
	re, end := regexp.MustCompile(pattern), time.NewTimer(200*time.Second*harness.Scale())
	defer end.Stop()
	for {
		s.said.Lock()
		for ; mark < len(s.said.lines); mark++ {
			if m := re.FindStringSubmatch(s.said.lines[mark]); m != nil {
				s.said.Unlock()
				return m
			}
		}
		news, ended := s.said.news, s.said.ended
		s.said.Unlock()
		if ended {
			s.t.Fatalf("the site ended; waited for %q", pattern)
		}
		select {
		case <-news:
		case <-end.C:
			s.t.Fatalf("the site did not say %q", pattern)
		}
	}
}

// command is a command that runs among the site's servers.
func (s *site) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", fmt.Sprint(s.cmd.Process.Pid), "-n", "--", name}, args...)...)
}

// cable is two ends of one: ours for the switch, the other for a program.
func cable() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a cable: %w", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "cable")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	return conn, os.NewFile(uintptr(fds[1]), "cable"), err
}

var built struct {
	sync.Mutex
	paths map[string]string
}

// tool is the path of a program, built once: its package's last name is the program's.
func tool(t *testing.T, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if p := built.paths[name]; p != "" {
		return p
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	pkg := map[string]string{"site": "./qemu-tests/pxe/site", "orchestrator": "./orchestrator", "hnctl": "./tools/hnctl",
		"netboot": "./orchestrator/netboot"}[name]
	path := filepath.Join(root, "out/bin/pxe-test-"+name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	if built.paths == nil {
		built.paths = map[string]string{}
	}
	built.paths[name] = path
	return path
}
