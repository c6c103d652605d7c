package fork

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s: line %d differs:\ngot  %s\nwant %s\nif the change is meant: go test ./agent/spawner/fork -update", path, i+1,
				g[i], append(w, "(end)")[min(i, len(w))])
		}
	}
	t.Fatalf("%s: the end is missing; if the change is meant: go test ./agent/spawner/fork -update", path)
}

func process() call.Process {
	return call.Process{Argv: []string{"nginx", "-g", "daemon off;"}, Env: []string{"A=b"}, Path: []string{"/usr/bin", "/bin/"},
		Cwd: "/srv",
		UID: 33, GID: 33, Caps: 1<<unix.CAP_CHOWN | 1<<unix.CAP_SETUID, NoNewPrivs: true, Seccomp: make([]byte, 16),
		NoFile: [2]int64{1024, 4096}, OOMAdjust: 100}
}

func startSpec() *call.Start {
	return &call.Start{ID: "101", Scratch: "/run/hardnode/scratch", IDs: call.IDs{Base: 65536}, LogDir: "/data/log/101",
		Hostname: "node101",
		Dirs:     []call.Dir{{Path: "lock", Mode: 0o1777}}, Texts: []call.Text{{Name: "hostname", Data: []byte("node101\n")}},
		Mounts:  []call.Mount{{Path: "/var/lib/data", Early: true}, {Path: "/run/hardnode"}, {Path: "/run/hardnode/jem", File: true}},
		Sysctls: []call.Sysctl{{Path: "net/ipv4/ip_unprivileged_port_start", Value: "0"}}, Shared: 64 << 20, Process: process()}
}

var startFDs = StartFDs{Lower: 12, Layer: 13, Mounts: []int{14, 15, 16}, Stdout: 17, Stderr: 18}

func startList(s *call.Start) *Prog {
	p := newProg(make([]byte, arenaBytes))
	p.StartList(s, startFDs)
	return p
}

// forker is one for all tests.
var forker = sync.OnceValues(Open)

func start(t *testing.T, build func(p *Prog)) (*Child, error) {
	t.Helper()
	f, err := forker()
	if err != nil {
		t.Fatal(err)
	}
	return f.Start(build, -1, -1)
}

// The golden files are the whole of what happens between clone and the program: a change of order or a step left out shows here.
func TestLists(t *testing.T) {
	app := startSpec()
	golden(t, "start-app.txt", startList(app).String())
	system := startSpec()
	system.System, system.Reaper, system.NoNewPrivs, system.UID, system.GID = true, true, false, 0, 0
	seen := newProg(make([]byte, arenaBytes))
	on := startFDs
	on.Console = "/dev/pts/7"
	seen.StartList(system, on)
	golden(t, "start-system.txt", seen.String())
	viewed := startSpec()
	viewed.View = "/run/hardnode/view/101"
	golden(t, "start-view.txt", startList(viewed).String())
	handed := newProg(make([]byte, arenaBytes))
	with := startFDs
	with.Handed = []int{19, 20}
	handed.StartList(app, with)
	golden(t, "start-handed.txt", handed.String())
	exec := newProg(make([]byte, arenaBytes))
	exec.ExecList(&call.Exec{ID: "101", TTY: true, Process: process()}, ExecFDs{PIDFD: 9, Stdin: 10, Stdout: 11, Stderr: 12})
	golden(t, "exec.txt", exec.String())
	beside := newProg(make([]byte, arenaBytes))
	beside.ExecList(&call.Exec{ID: "101", TTY: true, Own: true, Beside: true, Process: process()},
		ExecFDs{PIDFD: 9, Stdin: 10, Stdout: 11, Stderr: 12})
	golden(t, "exec-beside.txt", beside.String())
}

// index of the first step that starts with text.
func step(t *testing.T, p *Prog, text string) int {
	t.Helper()
	for i := range p.said {
		if strings.HasPrefix(p.step(i), text) {
			return i
		}
	}
	t.Fatalf("no step %q", text)
	return 0
}

// TestOrder states what must hold whatever else changes.
func TestOrder(t *testing.T) {
	for _, system := range []bool{false, true} {
		s := startSpec()
		s.System, s.NoNewPrivs = system, !system
		p := startList(s)
		for _, pair := range [][2]string{
			{"wait at the gate", "set uid"},         // the ids are mapped then
			{"attach volume", "attach /proc"},       // paths of volumes are resolved among image and volumes only
			{"attach /proc", "pivot root"},          //
			{"pivot root", "let go of old root"},    //
			{"let go of old root", "enter working"}, // nothing of the host is left to be in
			{"enter working", "stay inside"},        //
			{"drop capability", "install seccomp"},  // prctl is not to be filtered first
			{"install seccomp", "execute"},          //
			{"close what is not meant", "execute"},  //
			{"set capabilities", "execute"},         //
		} {
			if a, b := step(t, p, pair[0]), step(t, p, pair[1]); a >= b {
				t.Errorf("system %v: %q (%d) must come before %q (%d)", system, pair[0], a, pair[1], b)
			}
		}
		if last := p.ops[len(p.ops)-1]; last.nr != unix.SYS_EXECVE || last.ok[0] != 0 {
			t.Errorf("system %v: the list does not end with an execve that must work", system)
		}
	}
}

// TestRun runs lists as an ordinary user: the interpreter, its slots, skips and errors.
func TestRun(t *testing.T) {
	true_ := "/bin/true"
	run := func(fill func(p *Prog)) error {
		c, err := start(t, func(p *Prog) {
			fill(p)
			p.Call("execute", unix.SYS_EXECVE, true_, p.vector([]string{true_}, "argv"), p.vector(nil, "env"))
		})
		if err != nil {
			return err
		}
		defer c.PIDFD.Close()
		if code, known := ExitCode(c.PID); code != 0 || !known {
			t.Errorf("exit code %d, known %v", code, known)
		}
		return nil
	}
	if err := run(func(*Prog) {}); err != nil {
		t.Errorf("empty list: %v", err)
	}
	if err := run(func(p *Prog) {
		fd := p.Call("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/dev/null", unix.O_RDONLY|unix.O_CLOEXEC).Into()
		p.closeSlot(fd)
		s := p.Call("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/no/such/file", unix.O_RDONLY).Allow(unix.ENOENT)
		n := s.Into()
		p.Call("fail", unix.SYS_CLOSE, 9999)
		p.closeSlot(n)
		s.SkipTo()
	}); err != nil {
		t.Errorf("slots and skips: %v", err)
	}
	err := run(func(p *Prog) { p.Call("enter", unix.SYS_CHDIR, "/no/such/place").Blame() })
	var fe *Error
	if !errors.As(err, &fe) || fe.Errno != syscall.ENOENT || !fe.Program() || fe.Step != `enter "/no/such/place"` {
		t.Errorf("failing step: %v", err)
	}
	if err := run(func(p *Prog) {
		p.Call("enter", unix.SYS_CHDIR, "/usr/bin")
		p.add(kindInside, "inside", 0, nil)
	}); err != nil {
		t.Errorf("inside: %v", err)
	}
	true_ = "/no/such/program"
	if err := run(func(*Prog) {}); !errors.As(err, &fe) || !fe.Program() || fe.Errno != syscall.ENOENT {
		t.Errorf("missing program: %v", err)
	}
}

// TestHanded: a program has what it is handed from 3 on, in order, whatever numbers that had before, and nothing behind it.
func TestHanded(t *testing.T) {
	var read []*os.File
	var fds []int
	for range 3 {
		r, w, err := pipe("handed")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		read, fds = append(read, r), append(fds, int(w.Fd()))
	}
	slices.Reverse(read)
	slices.Reverse(fds)
	c, err := start(t, func(p *Prog) {
		handed := p.raise(fds)
		p.Call("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/dev/null", unix.O_RDONLY|unix.O_CLOEXEC).Into()
		p.hand(handed)
		const script = "echo a >&3; echo b >&4; echo c >&5; true >&6 && echo d >&5"
		p.Call("execute", unix.SYS_EXECVE, "/bin/sh", p.vector([]string{"sh", "-c", script}, "argv"), p.vector(nil, "env"))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.PIDFD.Close()
	ExitCode(c.PID)
	for i, want := range []string{"a\n", "b\n", "c\n"} {
		unix.Close(fds[i])
		if got, err := io.ReadAll(read[i]); string(got) != want || err != nil {
			t.Errorf("descriptor %d got %q, %v, want %q", firstHanded+i, got, err, want)
		}
	}
	high, err := above(read[0], 77)
	if err != nil || high.Fd() < 77 {
		t.Errorf("copied to %v, %v", high, err)
	}
}

// TestRunBesideAllocation forks while other goroutines allocate and collect.
func TestRunBesideAllocation(t *testing.T) {
	stop := make(chan struct{})
	done := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			var keep [][]byte
			for {
				select {
				case <-stop:
					return
				default:
					if keep = append(keep, make([]byte, 4096)); len(keep) > 500 {
						keep = nil
					}
				}
			}
		}()
	}
	for range 50 {
		c, err := start(t, func(p *Prog) {
			p.Call("execute", unix.SYS_EXECVE, "/bin/true", p.vector([]string{"true"}, "argv"), p.vector(nil, "env"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := ExitCode(c.PID); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.PIDFD.Close()
	}
	close(stop)
	<-done
	<-done
}

func TestReaperPassesStatusOn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := start(t, func(p *Prog) {
		all := ^uint64(0)
		p.use(int(w.Fd()))
		p.Call("connect", unix.SYS_DUP3, int(w.Fd()), 1, 0)
		p.Call("block", unix.SYS_RT_SIGPROCMASK, 0, object(p, all, "all"), 0, 8)
		p.add(kindReap, "reap", 0, nil)
		p.Call("unblock", unix.SYS_RT_SIGPROCMASK, 1, object(p, all, "all"), 0, 8)
		p.Call("execute", unix.SYS_EXECVE, "/bin/sh",
			p.vector([]string{"sh", "-c", "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done"}, "argv"),
			p.vector([]string{"PATH=/bin:/usr/bin"}, "env"))
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.PIDFD.Close()
	r.Read(make([]byte, 1)) // the trap is set
	unix.PidfdSendSignal(int(c.PIDFD.Fd()), unix.SIGTERM, nil, 0)
	if code, known := ExitCode(c.PID); code != 7 || !known {
		t.Errorf("exit code %d, known %v: want 7", code, known)
	}
}

// TestOnlyItsDescriptors: a child has the descriptors its list uses, from its first moment, and its program what is meant for it.
func TestOnlyItsDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	other, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := unix.FcntlInt(other.Fd(), unix.F_SETFD, 0); err != nil { // not even one that would stay open over execve
		t.Fatal(err)
	}
	c, err := start(t, func(p *Prog) {
		p.use(int(w.Fd()))
		p.Call("connect", unix.SYS_DUP3, int(w.Fd()), 1, 0)
		p.Call("execute", unix.SYS_EXECVE, "/bin/ls", p.vector([]string{"ls", "/proc/self/fd"}, "argv"), p.vector(nil, "env"))
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.PIDFD.Close()
	got, err := io.ReadAll(r)
	if code, _ := ExitCode(c.PID); err != nil || code != 0 {
		t.Fatalf("ls ended with %d: %v", code, err)
	}
	if fds := strings.Fields(string(got)); !slices.Equal(fds, []string{"0", "1"}) { // 0 is the directory ls reads
		t.Errorf("the program has %v", fds)
	}
}

// TestTooLarge: a list that does not fit its arena is refused before anything is made.
func TestTooLarge(t *testing.T) {
	f, err := forker()
	if err != nil {
		t.Fatal(err)
	}
	for range arenaCount + 1 { // each arena comes back
		_, err := start(t, func(p *Prog) {
			p.Call("execute", unix.SYS_EXECVE, "/bin/true", p.vector([]string{strings.Repeat("x", arenaBytes)}, "argv"),
				p.vector(nil, "env"))
		})
		if err == nil || !strings.Contains(err.Error(), "more than fits") {
			t.Fatalf("too long an argument: %v", err)
		}
	}
	_, err = start(t, func(p *Prog) {
		for range maxOps + 10 {
			p.Call("close", unix.SYS_CLOSE, 999)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "more than fits") {
		t.Fatalf("too many steps: %v", err)
	}
	if len(f.free) != arenaCount {
		t.Errorf("%d of %d arenas are free", len(f.free), arenaCount)
	}
}
