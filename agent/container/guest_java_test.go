//go:build guest

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/retune"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// TestJava: after a resize of its node a Java virtual machine has the heap that fits, from its next start on, or at once where the template
// says so. It says itself how large that is, what it holds in it, and that it has it still after a reboot.
func TestJava(t *testing.T) {
	if _, err := os.Stat("/images/java.erofs"); err != nil {
		t.Skip("the guest has no image with Java: qemu-tests/system TestJava makes it")
	}
	spawnerUp(t)
	r := newRuntime(t)
	hints, stop := context.WithCancel(context.Background())
	defer stop()
	go r.Run(hints)
	j := java{T: t, r: r, s: box(t, 850, "")}
	j.s.ImagePath, j.s.Image.Digest = image(t, "java")
	j.s.Profile, j.s.Process = host.ProfileSystem, host.Process{StopAfter: 120}
	j.s.Limits = host.Limits{MemoryHigh: 480 << 20, MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 256 << 20}
	mustStart(t, r, j.s)
	becomesReady(t, r, 850)
	first := j.asks("/heap") // its own choice, which goes by the machine's memory: the limit is no service's own
	t.Logf("FIGURE with 512 MiB and nothing told the Java virtual machine says MaxHeapSize %s", first)

	j.template("tell")
	was := j.pid()
	j.resized("java: written, counts after a restart (--restart)")
	if now, heap := j.pid(), j.asks("/heap"); now != was || heap != first {
		t.Errorf("it was process %s with %s, and is %s with %s", was, first, now, heap)
	}
	restart := host.JEMRequest{Module: "service", Action: "restart", Args: []string{"app"}}
	if reply, _ := callJEM(t, r, 850, jem.Told{}, restart); reply.Code != jem.CodeOK {
		t.Errorf("restart: %+v", reply)
	}
	j.heap(512 * 70 / 100)
	j.holds(200, true)
	j.resized("nothing is to be changed")

	j.template("restart")
	for _, c := range []struct {
		mib, held, refused int64
		waits              bool
	}{{1024, 500, 900, false}, {384, 150, 300, true}} {
		j.s.Limits.MemoryHigh, j.s.Limits.MemoryMax = (c.mib-c.mib/16)<<20, c.mib<<20 // as an environment's are
		before := j.pid()
		err := r.SetLimits(deadline(t), 850, j.s.Limits, 0)
		waits := errors.As(err, new(limits.Waits)) // it holds more than it is to have
		t.Logf("to %d MiB: %v", c.mib, err)
		if err != nil && !waits || waits != c.waits {
			t.Errorf("to %d MiB: %v, want that it waits: %t", c.mib, err, c.waits)
		}
		j.resized("java: told")
		if err := r.SetLimits(deadline(t), 850, j.s.Limits, 0); err != nil { // as the host does in each round
			t.Errorf("after it has made room: %v", err)
		}
		if now := j.pid(); now == before {
			t.Errorf("it still is process %s", now)
		}
		j.heap(c.mib * 70 / 100)
		j.holds(c.held, true)
		j.holds(c.refused, false)
	}
	tell(t, r, 850, "systemctl reboot")
	if o := waitEnd(t, r, 850); o.Left != LeftReboot {
		t.Errorf("after a reboot from inside: left by %q, code %d", o.Left, o.ExitCode)
	}
	if _, err := r.Start(deadline(t), j.s); err != nil {
		t.Fatal(err)
	}
	becomesReady(t, r, 850)
	j.heap(384 * 70 / 100)
	all, err := r.Observe(deadline(t))
	if err != nil || len(all) != 1 || all[0].OOM.Kills != 0 {
		t.Errorf("the kernel had to help: %+v, %v", all, err)
	}
	if reply, _ := callJEM(t, r, 850, r.Told(deadline(t), 850), host.JEMRequest{Module: "setmem", Action: "remove",
		Args: []string{"--restart"}}); reply.Code != jem.CodeOK || reply.Message != "java: told" {
		t.Errorf("remove: %+v", reply)
	}
	if heap := j.asks("/heap"); heap != first {
		t.Errorf("with nothing told again: %s, want %s", heap, first)
	}
	if err := r.Stop(deadline(t), 850); err != nil {
		t.Fatal(err)
	}
}

// java is the container, 850.
type java struct {
	*testing.T
	r *Runtime
	s StartSpec
}

// asks is what the service answers, once it does.
func (j java) asks(path string) (got string) {
	j.Helper()
	began := time.Now()
	for got == "" {
		if time.Since(began) > 3*time.Minute {
			why, _ := sh(j.T, j.r, 850, "systemctl status app; journalctl -q --no-pager -u app | tail -n 20")
			j.Fatalf("no answer to %s in %s\n%s", path, time.Since(began), why)
		}
		got, _ = sh(j.T, j.r, 850, `bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET `+path+
			` HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3' 2>/dev/null`)
		run.Wait(j.Context(), 200*time.Millisecond)
	}
	return got
}

// heap is how large it may become, in MiB.
func (j java) heap(want int64) {
	j.Helper()
	raw := j.asks("/heap")
	got, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		j.Fatalf("its heap is %q", raw)
	}
	j.Logf("FIGURE with %d MiB the Java virtual machine says MaxHeapSize %d: %d MiB", j.s.Limits.MemoryMax>>20, got, got>>20)
	if got = got >> 20; got < want || got > want+2 { // it rounds up
		j.Errorf("its heap is %d MiB, want %d", got, want)
	}
}

// holds tells whether it can have so many MiB at once.
func (j java) holds(mib int64, want bool) {
	j.Helper()
	got := j.asks(fmt.Sprint("/hold?", mib))
	j.Logf("asked to hold %d MiB in %d: %s", mib, j.s.Limits.MemoryMax>>20, got)
	if got != map[bool]string{true: "held", false: "java.lang.OutOfMemoryError"}[want] {
		j.Errorf("asked to hold %d MiB: %q", mib, got)
	}
}

// template has the image say what its servers do after a resize.
func (j java) template(setmem string) {
	j.Helper()
	if out, code := sh(j.T, j.r, 850, `mkdir -p /etc/jem && echo '{"version":1,"name":"java","setmem":"`+setmem+
		`"}' > `+jem.TemplatePath); code != 0 {
		j.Fatalf("write %s: %s", jem.TemplatePath, out)
	}
}

func (j java) pid() string {
	j.Helper()
	pid, _ := sh(j.T, j.r, 850, "systemctl show -P MainPID app")
	return pid
}

// resized calls JEM as the host does after a resize.
func (j java) resized(want string) {
	j.Helper()
	told := j.r.Told(deadline(j.T), 850)
	began := time.Now()
	reply, _ := callJEM(j.T, j.r, 850, told, retune.Request)
	j.Logf("setmem apply --resized with %d MiB, in %s: %s %q", told.Memory>>20, time.Since(began).Round(time.Millisecond), reply.Code,
		reply.Message)
	if reply.Code != jem.CodeOK || reply.Message != want || told.Memory != j.s.Limits.MemoryMax {
		j.Errorf("setmem apply --resized with %d MiB: %+v, want %q", told.Memory>>20, reply, want)
	}
}
