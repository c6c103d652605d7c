package proc

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReaperNeverStealsAChild makes this process the reaper of orphans, as PID 1 is, and starts hundreds of children that exit with a
// known status, some leaving an orphan behind, while the reaper runs all the time.
func TestReaperNeverStealsAChild(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("become a reaper: %v", err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var table Table
	ctx, cancel := context.WithCancel(context.Background())
	reaped := make(chan error, 1)
	go func() { reaped <- table.Reap(ctx) }()

	const workers, each = 8, 40
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				want := (w*each + i) % 200
				script := "exit $0"
				if i%2 == 0 { // the subshell's sleep becomes an orphan, and ends at about the same time
					script = "(/bin/sleep 0.0$1 & ) ; exit $0"
				}
				c, err := table.Start(Spec{Argv: []string{"/bin/sh", "-c", script, itoa(want), itoa(i % 10)},
					Files: []*os.File{null, null, null}})
				if err != nil {
					t.Errorf("start: %v", err)
					return
				}
				select {
				case e := <-c.Done():
					if e.Code != want {
						t.Errorf("child %d: got %v, want exit status %d", c.PID, e, want)
					}
				case <-time.After(30 * time.Second):
					t.Errorf("child %d: its exit never came", c.PID)
					return
				}
			}
		}()
	}
	wg.Wait()
	// Every orphan is reaped: in the end this process has no children at all.
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := waitid(pAll, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
		if errors.Is(err, unix.ECHILD) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("orphans are left: waitid: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
	cancel()
	if err := <-reaped; err != nil {
		t.Fatal(err)
	}
}

// TestAStoppedChildHasNotEnded: a child that asks to be traced by its parent stops at its next signal, and waitid tells of that whatever it
// is asked for. Neither an owned child nor an orphan in that state is an end, and neither hides the orphans behind it.
func TestAStoppedChildHasNotEnded(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("become a reaper: %v", err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var table Table
	ctx, cancel := context.WithCancel(context.Background())
	reaped := make(chan error, 1)
	go func() { reaped <- table.Reap(ctx) }()
	defer func() {
		cancel()
		if err := <-reaped; err != nil {
			t.Error(err)
		}
	}()
	for name, life := range map[string]string{"owned": "traced", "orphan": "leaves a traced orphan"} {
		c, err := table.Start(Spec{Argv: []string{"/proc/self/exe"}, Env: []string{"TEST_LIFE=" + life},
			Files: []*os.File{null, null, null}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-c.Done():
			if want := map[string]Exit{"owned": {Code: -1, Signal: unix.SIGKILL}, "orphan": {}}[name]; e != want {
				t.Errorf("%s: got %v, want %v", name, e, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: its end never came", name)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := waitid(pAll, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
		if errors.Is(err, unix.ECHILD) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the traced orphan is left: waitid: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestMain lives a life of TestAStoppedChildHasNotEnded when a child is to.
func TestMain(m *testing.M) {
	switch os.Getenv("TEST_LIFE") {
	case "":
		os.Exit(m.Run())
	case "traced":
		runtime.LockOSThread()
		unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1)
		<-time.After(time.Hour)
	case "leaves a traced orphan":
		// Its parent ends before it asks to be traced: from then on that is whoever reaps orphans.
		os.Setenv("TEST_LIFE", "waits for its parent's end")
		os.Setenv("TEST_PARENT", strconv.Itoa(os.Getpid()))
		if _, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{}); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "waits for its parent's end":
		for strconv.Itoa(os.Getppid()) == os.Getenv("TEST_PARENT") {
			<-time.After(time.Millisecond)
		}
		runtime.LockOSThread()
		unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1)
		<-time.After(time.Hour)
	}
}

func TestStartOfMissingProgramLeavesNothing(t *testing.T) {
	var table Table
	if _, err := table.Start(Spec{Argv: []string{"/no/such/program"}}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want ENOENT", err)
	}
	if _, err := waitid(pAll, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a child is left: %v", err)
	}
}

func TestSignalAndOutput(t *testing.T) {
	var table Table
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, err := table.Start(Spec{Argv: []string{"/bin/sleep", "60"}, Files: []*os.File{null, null, null}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := <-c.Done(); e.Signal != unix.SIGTERM || e.String() != "killed by SIGTERM" {
		t.Errorf("got %v, want killed by SIGTERM", e)
	}
	out, err := table.Output(t.Context(), "/bin/sh", "-c", "echo hello; exit 3")
	if out != "hello" || err == nil {
		t.Errorf("got %q, %v; want hello and exit status 3", out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := table.Output(ctx, "/bin/sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// TestOrphansEndIsKnown: how a process ended is remembered that its parent has left.
func TestOrphansEndIsKnown(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("become a reaper: %v", err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	var table Table
	ctx, cancel := context.WithCancel(context.Background())
	reaped := make(chan error, 1)
	go func() { reaped <- table.Reap(ctx) }()
	for script, want := range map[string]Exit{"exit 7": {Code: 7}, "kill -9 $$": {Code: -1, Signal: unix.SIGKILL}} {
		out, err := table.Output(ctx, "/bin/sh", "-c", `/bin/sh -c "$0" >/dev/null & echo $!`, "sleep 0.05; "+script)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(out)
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for {
			if got, known := table.Orphan(pid); known {
				if got != want {
					t.Errorf("%s: got %v, want %v", script, got, want)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: its end is not known", script)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if _, known := table.Orphan(1); known {
		t.Error("the end of another process is known")
	}
	cancel()
	if err := <-reaped; err != nil {
		t.Fatal(err)
	}
}
