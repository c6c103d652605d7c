//go:build qemu

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness/ether"
)

// scenario is a guest that plays a part of qemu-tests/sample's TestScenario.
func scenario(t *testing.T, dir, name, part string, g GuestTest) Config {
	t.Helper()
	g.Package, g.Run, g.Env = "./qemu-tests/sample", "^TestScenario$", append(g.Env, "SCENARIO="+part)
	c, err := g.build(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Name = name
	return c
}

func boot(t *testing.T, c Config) *VM {
	t.Helper()
	vm, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Kill)
	return vm
}

// hear waits for an output line of the guest's test that begins with text.
func hear(t *testing.T, vm *VM, from int, text string) (next int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second*Scale())
	defer cancel()
	for n := from; ; n++ {
		e, err := vm.Event(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == "out" && strings.HasPrefix(e.Text(), text) {
			return n + 1
		}
	}
}

func TestPowerCutKeepsDisk(t *testing.T) {
	dir := Dir(t)
	vm := boot(t, scenario(t, dir, "guest", "write", GuestTest{DiskMiB: 512}))
	hear(t, vm, 0, "written")
	vm.Kill()
	if err := vm.Err(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "power was cut") {
		t.Errorf("after Kill the VM says %v", err)
	}
	if _, err := vm.WaitFor(t.Context(), "never printed"); !errors.Is(err, ErrEnded) {
		t.Errorf("WaitFor on an ended VM gives %v, want ErrEnded", err)
	}
	vm = boot(t, scenario(t, dir, "guest", "read", GuestTest{DiskMiB: 512}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second*Scale())
	defer cancel()
	if e, err := vm.WaitEvent(ctx, "exit"); err != nil || e.Text() != "ok" {
		t.Errorf("after the power cut the guest says %q, %v", e.Text(), err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestPanicIsSeen(t *testing.T) {
	c := scenario(t, Dir(t), "guest", "panic", GuestTest{})
	vm := boot(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second*Scale())
	defer cancel()
	_, err := vm.WaitFor(ctx, "never printed")
	if !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "sysrq") {
		t.Errorf("got %v, want ErrPanic with the console's last lines", err)
	}
}

func TestTimeoutEndsVM(t *testing.T) {
	c := scenario(t, Dir(t), "guest", "hang", GuestTest{})
	c.Timeout = 10 * time.Second
	vm := boot(t, c)
	begin := time.Now()
	_, err := vm.WaitFor(t.Context(), "never printed")
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "longer than 10s") {
		t.Errorf("got %v, want ErrEnded because of the time limit", err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	if syscall.Kill(vm.PID, 0) == nil {
		t.Errorf("QEMU %d still runs", vm.PID)
	}
}

func TestSwitchJoinsAndCutsGuests(t *testing.T) {
	dir, sw := Dir(t), ether.NewSwitch()
	net := []NIC{{Switch: sw}}
	a := scenario(t, dir, "a", "answer", GuestTest{NICs: net, Env: []string{"ADDR=10.77.0.1"}})
	os.Rename(a.Initrd[0], a.Initrd[0]+".a")
	a.Initrd[0] += ".a"
	boot(t, a)
	vm := boot(t, scenario(t, dir, "b", "ask", GuestTest{NICs: net, Env: []string{"ADDR=10.77.0.2", "PEER=10.77.0.1"}}))
	hear(t, vm, 0, "answer re: ")
	sw.Cut("a", "b")
	dropped := func() int64 { return sw.Counts("a").Dropped }
	// Answers that were under way at the cut may be told a while later: then comes a second in which questions are dropped and nothing is
	// told.
	before, quiet := 0, false
	for limit := time.Now().Add(30 * time.Second); !quiet && time.Now().Before(limit); {
		start := dropped()
		before = len(vm.Events())
		<-time.After(time.Second)
		quiet = len(vm.Events()) == before && dropped() > start
	}
	if !quiet {
		t.Errorf("over a cut link answers come on: %d, and %d frames were dropped", len(vm.Events()), dropped())
	}
	sw.Heal("a", "b")
	hear(t, vm, before, "answer re: ")
	if err := vm.Pause(t.Context()); err != nil {
		t.Error(err)
	}
	if err := vm.Resume(t.Context()); err != nil {
		t.Error(err)
	}
	hear(t, vm, len(vm.Events()), "answer re: ")
}

// TestNoQEMUOutlivesItsProcess kills a process that runs a VM and looks whether QEMU goes too.
func TestNoQEMUOutlivesItsProcess(t *testing.T) {
	if os.Getenv("HARNESS_CHILD") != "" {
		vm := boot(t, scenario(t, Dir(t), "guest", "hang", GuestTest{}))
		fmt.Printf("pid=%d\n", vm.PID)
		vm.Wait(t.Context())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoQEMUOutlivesItsProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "HARNESS_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, buf := 0, ""
	for b := make([]byte, 4096); pid == 0; {
		n, err := out.Read(b)
		buf += string(b[:n])
		if _, rest, ok := strings.Cut(buf, "pid="); ok && strings.Contains(rest, "\n") {
			pid, _ = strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
		} else if err != nil {
			t.Fatalf("%v: %s", err, buf)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	for range 50 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("QEMU %d was still running 5 s after its process was killed", pid)
}
