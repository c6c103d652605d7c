//go:build guest

package container

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// turnWithin is how long a cycle may take although agent or spawner are killed in it: an agent asks a spawner that is away for so long.
const turnWithin = 2 * time.Minute

// Asking asks for snapshots of a container, as its host's agent does; container_test, which may import the answerer, sets it.
var Asking func(*Runtime) func(context.Context, wire.CTID, snapshot.Ask) (snapshot.Answer, error)

// TestChurn: containers are started, used, resized and stopped, snapshots of them are taken and restored, while the agent and the spawner
// are killed at any moment: nothing hangs, and nothing is left in the end.
func TestChurn(t *testing.T) {
	if from, err := strconv.Atoi(os.Getenv("CHURN_FROM")); err == nil {
		churn(t, from)
		return
	}
	cycles := 200
	if soak := os.Getenv("HARDNODE_SOAK"); soak != "" { // a number is how many: HARDNODE_SOAK=2000 GUEST_TIMEOUT=60m
		n, _ := strconv.Atoi(soak)
		cycles = max(cycles, n)
	}
	i := spawnerUp(t)
	first := newRuntime(t) // its image is copied, its cgroup made
	mustStart(t, first, box(t, 700, forever))
	if err := first.Remove(deadline(t), 700, false); err != nil {
		t.Fatal(err)
	}
	before := worldOf(t)
	before.fds = nil // the next spawner has its own
	seed := rand.NewPCG(uint64(cycles), 9)
	t.Logf("%d cycles", cycles)
	chance, agents, spawners := rand.New(seed), 0, 0
	for done := 0; done < cycles; {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestChurn$", "-test.v")
		cmd.Env = append(os.Environ(), "CHURN_FROM="+strconv.Itoa(done))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		agents++
		lines := make(chan string)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(out); s.Scan(); {
				lines <- s.Text()
			}
		}()
		end := time.After(time.Duration(1+chance.IntN(8000)) * time.Millisecond) // of this agent
		stuck := time.NewTimer(turnWithin)
		var said []string
		for on := true; on; {
			var spawner <-chan time.Time
			if chance.IntN(10) == 0 {
				spawner = time.After(time.Duration(1+chance.IntN(200)) * time.Millisecond)
			}
			select {
			case line, more := <-lines:
				if n, ok := strings.CutPrefix(line, "CYCLE "); ok {
					done, _ = strconv.Atoi(n)
					stuck.Reset(turnWithin)
				}
				said = append(said, line)
				if on = more && done < cycles; !more {
					t.Fatalf("an agent ended by itself after %d cycles:\n%s", done, strings.Join(said, "\n"))
				}
			case <-spawner:
				spawners++
				i.kill()
				i.start()
			case <-end:
				on = false
			case <-stuck.C:
				t.Fatalf("no cycle in %s after %d:\n%s", turnWithin, done, strings.Join(said, "\n"))
			}
		}
		cmd.Process.Kill()
		for range lines {
		}
		cmd.Wait()
	}
	t.Logf("%d agents and %d spawners were killed", agents, spawners)
	r := newRuntime(t)
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if err := r.Remove(deadline(t), o.CTID, false); err != nil {
			t.Error(err)
		}
	}
	var after worldState
	soon(t, "what was killed in the middle is gone", func() bool {
		after = worldOf(t)
		after.fds = nil
		return reflect.DeepEqual(after, before)
	})
	if t.Failed() {
		t.Logf("before %v\nafter %v", before, after)
	}
}

// churn is an agent that goes through cycles until it is killed. What an agent before it left is taken away first; what a killed spawner
// made fail is tried again.
func churn(t *testing.T, from int) {
	r := newRuntime(t)
	for n := from; ; n++ {
		id := wire.CTID(700 + n%4)
		for try := 1; ; try++ {
			err := cycle(t, r, id, n)
			if err == nil {
				break
			}
			if try == 10 {
				t.Fatalf("cycle %d: %v", n, err)
			}
			fmt.Printf("again %d: %v\n", n, err)
			run.Wait(context.Background(), 100*time.Millisecond)
		}
		fmt.Println("CYCLE", n+1)
	}
}

// obedient is a script that ends when it is asked to; forever, as PID 1 of its namespace, is not told of SIGTERM and is killed.
const obedient = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

// cycle is one life of a container. Each third goes back to its snapshot in between, each fifth does not stop when it is asked to.
func cycle(t *testing.T, r *Runtime, id wire.CTID, n int) error {
	back, script := n%3 == 0, obedient
	if n%5 == 0 {
		script = forever
	}
	ctx, cancel := context.WithTimeout(context.Background(), turnWithin/4)
	defer cancel()
	if err := r.Remove(ctx, id, false); err != nil {
		return fmt.Errorf("remove what was left: %v", err)
	}
	s := box(t, id, script)
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 16 << 20}}
	if _, err := r.Start(ctx, s); err != nil {
		return fmt.Errorf("start: %v", err)
	}
	sh := func(script string) error {
		e, err := r.Exec(ctx, id, host.ExecSpec{Argv: []string{"sh", "-c", script}}, command.Stdio{})
		if err != nil || e.Code != 0 {
			return fmt.Errorf("%s: %v %+v", script, err, e)
		}
		return nil
	}
	if err := sh("echo first > /var/data/x; echo first > /var/x"); err != nil {
		return err
	}
	ask := Asking(r)
	one, err := ask(ctx, id, snapshot.Ask{Action: snapshot.Take})
	if err != nil {
		return fmt.Errorf("take a snapshot: %v", err)
	}
	if err := sh("echo second > /var/data/x; echo second > /var/x"); err != nil {
		return err
	}
	if back {
		if _, err := ask(ctx, id, snapshot.Ask{Action: snapshot.Restore, ID: one.Done}); err != nil {
			return fmt.Errorf("restore: %v", err)
		}
		if _, err := r.Start(ctx, s); err != nil {
			return fmt.Errorf("start after the restore: %v", err)
		}
		if err := sh("read a < /var/data/x; read b < /var/x; [ $a$b = firstfirst ]"); err != nil {
			return err
		}
	}
	l := s.Limits
	l.MemoryMax, l.PIDs = 96<<20, 32
	if err := r.SetLimits(ctx, id, l, 50000); err != nil {
		return fmt.Errorf("resize: %v", err)
	}
	if err := r.Stop(ctx, id); err != nil {
		return fmt.Errorf("stop: %v", err)
	}
	return r.Remove(ctx, id, false)
}
