package fork

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/stray"
)

// TestAStoppedChildHasNotEnded: a child that asks to be traced makes its parent the tracer, and stops at its next signal: here, that of
// its execve. wait4 tells of that too.
func TestAStoppedChildHasNotEnded(t *testing.T) {
	c, err := start(t, func(p *Prog) {
		p.Call("ask to be traced", unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0)
		p.Call("execute", unix.SYS_EXECVE, "/bin/true", p.vector([]string{"true"}, "argv"), p.vector(nil, "env"))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.PIDFD.Close()
	if code, known := ExitCode(c.PID); code != 137 || !known {
		t.Errorf("exit code %d, known %v: want 137, it had to be killed", code, known)
	}
	if err := unix.Kill(c.PID, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("child %d after its end was told: %v, want none", c.PID, err)
	}
}

// TestReaperLetsATracedChildGoOn: the reaper is PID 1; a child of its that asks to be traced and stops is neither its end nor left there.
func TestReaperLetsATracedChildGoOn(t *testing.T) {
	c, err := start(t, func(p *Prog) {
		all := ^uint64(0)
		p.Call("block", unix.SYS_RT_SIGPROCMASK, 0, object(p, all, "all"), 0, 8)
		p.add(kindReap, "reap", 0, nil)
		p.Call("unblock", unix.SYS_RT_SIGPROCMASK, 1, object(p, all, "all"), 0, 8)
		p.Call("ask to be traced", unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0)
		p.Call("execute", unix.SYS_EXECVE, "/bin/sh", p.vector([]string{"sh", "-c", "trap 'exit 7' USR1; kill -USR1 $$; exit 8"}, "argv"),
			p.vector([]string{"PATH=/bin:/usr/bin"}, "env"))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.PIDFD.Close()
	if code, known := ExitCode(c.PID); code != 7 || !known {
		t.Errorf("exit code %d, known %v: want 7", code, known)
	}
}

// TestATracedThreadEndsWithItsProcess: a thread may ask to be traced too. Its end is told to the tracer, and until that has taken it the
// process does not end.
func TestATracedThreadEndsWithItsProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	strays := make(chan error, 1)
	killed := make(chan int, 16)
	go func() { strays <- stray.Watch(ctx, func(pid int) { killed <- pid }) }()
	defer func() {
		cancel()
		if err := <-strays; err != nil {
			t.Error(err)
		}
	}()
	for _, life := range []string{"a thread is traced", "a thread is traced and stops"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c, err := start(t, func(p *Prog) {
			p.use(int(w.Fd()))
			p.Call("connect", unix.SYS_DUP3, int(w.Fd()), 1, 0)
			p.Call("execute", unix.SYS_EXECVE, "/proc/self/exe", p.vector([]string{"test"}, "argv"),
				p.vector([]string{"TEST_LIFE=" + life}, "env"))
		})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer c.PIDFD.Close()
		if n, err := r.Read(make([]byte, 1)); n != 1 {
			t.Fatalf("%s: it never said that it is ready: %v", life, err)
		}
		if life == "a thread is traced" {
			unix.PidfdSendSignal(int(c.PIDFD.Fd()), unix.SIGKILL, nil, 0)
		}
		over := make(chan int, 1)
		go func() {
			code, _ := ExitCode(c.PID)
			over <- code
		}()
		select {
		case code := <-over:
			if code != 137 {
				t.Errorf("%s: exit code %d, want 137", life, code)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s: its end never came", life)
		}
	}
	if len(killed) == 0 {
		t.Error("the stopped thread was not told of")
	}
}

// TestMain lives a life of TestATracedThreadEndsWithItsProcess when a child is to.
func TestMain(m *testing.M) {
	life := os.Getenv("TEST_LIFE")
	if life == "" {
		os.Exit(m.Run())
	}
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the first thread: let another one do it
			go trace(life)
			<-time.After(time.Hour)
		}
		trace(life)
	}()
	<-time.After(time.Hour)
}

func trace(life string) {
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0); errno != 0 {
		os.Exit(1)
	}
	os.Stdout.Write([]byte{1})
	if life == "a thread is traced and stops" {
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1)
	}
	<-time.After(time.Hour)
}
