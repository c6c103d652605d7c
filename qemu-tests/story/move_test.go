//go:build qemu

package story

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// moveGap is how long a request may wait while its node moves.
const moveGap = 2 * time.Second

// moveWithin is how long a move is waited for. One that comes no further for five minutes ends by itself, and a slow machine takes long for
// 500 MiB beside wrk.
const moveWithin = 30 * time.Minute

// killedMoves is how often a node with 500 MiB moves while agents are killed.
const killedMoves = 9

// TestMove moves a node with 500 MiB under load, and then again and again while agents are killed: part of `make soak`.
func TestMove(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set")
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 2, Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	s := story{t, c}
	n := s.mover(500)
	sum := s.sum(n)

	to := s.other(n.HostName)
	v, stop, begin := s.visitorOf("mover", 100*time.Millisecond), s.wrk("mover"), time.Now()
	op := s.move(n, to)
	s.arrived(op, n, to, sum)
	list, l := v.stop(), stop()
	s.steps(op)
	s.figure("a node with 500 MiB moved under wrk: gap %.2f s (wrk) and %.2f s (a visitor); %d of %d and %d of %d requests failed; "+
		"the checksum is the same",
		l.longest.Seconds(), longest(list).Seconds(), l.failed, l.requests, len(failed(list, begin)), len(list))
	if bad := failed(list, begin); l.failed > 0 || len(bad) > 0 {
		s.Errorf("requests failed while the node moved: %q\n%s", bad, l.text)
	}
	if gap := max(l.longest, longest(list)); gap > slack*moveGap {
		s.Errorf("a request waited for %v, want %v at most", gap, slack*moveGap)
	}

	// Either host's agent ends at any moment of a move that takes about as long, or both do.
	n, took := s.settled("mover").Nodes[0], op.Steps[len(op.Steps)-1].At.Sub(op.Created)
	done := 0
	for i := range killedMoves {
		var kills []murder
		for at, m := range s.Hosts {
			if i%3 == 2 || i%3 == at {
				kills = append(kills, murder{m, rand.N(took)})
			}
		}
		var moved bool
		if n, moved = s.moveUnderKills(n, sum, kills...); moved {
			done++
		}
	}
	s.figure("%d moves while agents were killed: %d done, %d undone", killedMoves, done, killedMoves-done)
}

// mover makes an environment of one nginx node, with so many MiB of random data in a volume.
func (s story) mover(mib int) operator.Node {
	s.Helper()
	s.hnctl("env", "create", "-f", s.file("mover", 1, "dynamic: 2}",
		fmt.Sprintf("dynamic: 2}\n    diskMiB: 64\n    volumes: [{path: /srv/data, diskMiB: %d}]", mib+200)))
	n := s.settled("mover").Nodes[0]
	s.hnctl("node", "exec", n.CTID.String(), "--", "sh", "-c", fmt.Sprintf("head -c %d /dev/urandom > /srv/data/blob && sync", mib<<20))
	return n
}

// sum is the checksum of the data.
func (s story) sum(n operator.Node) string {
	s.Helper()
	sum, _, _ := strings.Cut(s.hnctl("node", "exec", n.CTID.String(), "--", "sha256sum", "/srv/data/blob"), " ")
	if len(sum) != 64 {
		s.Fatalf("sha256sum says %q", sum)
	}
	return sum
}

// other is the user host beside that one.
func (s story) other(name string) *cluster.Machine {
	return s.Hosts[slices.IndexFunc(s.Hosts, func(m *cluster.Machine) bool { return m.Name != name })]
}

// beginMove has a node moved.
func (s story) beginMove(n operator.Node, to *cluster.Machine) (op operator.Operation) {
	s.Helper()
	if err := s.Get(s.Context(), &op, "node", "move", n.CTID.String(), to.Name, "--no-wait"); err != nil {
		s.Fatal(err)
	}
	return op
}

// move moves a node, and returns how that ended.
func (s story) move(n operator.Node, to *cluster.Machine) (op operator.Operation) {
	s.Helper()
	op = s.beginMove(n, to)
	for limit := time.Now().Add(moveWithin); !op.State.Final(); op = s.look(op) {
		if time.Now().After(limit) || !run.Wait(s.Context(), 300*time.Millisecond) {
			s.steps(op)
			s.Fatalf("not within %v: the move ends", moveWithin)
		}
	}
	return op
}

// look is an operation as it is now; while nobody answers, as it was.
func (s story) look(op operator.Operation) operator.Operation {
	if now, err := s.Operation(s.Context(), op.ID); err == nil {
		return now
	}
	return op
}

// arrived checks that a move is done: the node runs on that host, with its data, and nowhere else.
func (s story) arrived(op operator.Operation, n operator.Node, to *cluster.Machine, sum string) {
	s.Helper()
	if op.State != operator.OpDone {
		s.Fatalf("the move is %s: %v; %+v", op.State, op.Problem, op.Steps)
	}
	s.only(n, to, sum)
}

// only checks that a node runs on that host, with its data, and nowhere else.
func (s story) only(n operator.Node, at *cluster.Machine, sum string) {
	s.Helper()
	now := s.settled("mover").Nodes
	if len(now) != 1 || now[0].CTID != n.CTID || now[0].HostName != at.Name || now[0].InternalIP != n.InternalIP {
		s.Fatalf("the nodes are %+v, want %s on %s at %s alone", now, n.CTID, at.Name, n.InternalIP)
	}
	for _, m := range s.Hosts {
		if runs := len(s.inContainers(m)[n.CTID]) > 0; runs != (m == at) {
			s.Errorf("after its move it is on %s: that node %s runs on %s is %t", at.Name, n.CTID, m.Name, runs)
		}
	}
	if got := s.sum(n); got != sum {
		s.Errorf("its data had the checksum %s, and has %s", sum, got)
	}
}

// murder is that a machine's agent is killed, so long after a move began.
type murder struct {
	of    *cluster.Machine
	after time.Duration
}

// moveUnderKills moves a node to the other host while agents are killed: the move goes on or is undone, the node runs on one host alone at
// any time, and has its data. It returns where the node is then, and whether it was moved.
func (s story) moveUnderKills(n operator.Node, sum string, kills ...murder) (operator.Node, bool) {
	s.Helper()
	from, to := s.Machine(n.HostName), s.other(n.HostName)
	var told []string
	for _, k := range kills {
		told = append(told, fmt.Sprintf("%s's after %.2f s", k.of.Name, k.after.Seconds()))
	}
	op, begin := s.beginMove(n, to), time.Now()
	for limit := begin.Add(moveWithin); !op.State.Final(); op = s.look(op) {
		kills = slices.DeleteFunc(kills, func(k murder) bool {
			due := time.Since(begin) >= k.after
			if due {
				s.ask(k.of, ask.Request{What: "kill", Path: agentExe})
			}
			return due
		})
		// The host it goes to is looked at first: once it has run there, it runs on the other one no more.
		if there := len(s.inContainers(to)[n.CTID]) > 0; there && len(s.inContainers(from)[n.CTID]) > 0 {
			s.Fatalf("node %s runs on %s and on %s", n.CTID, to.Name, from.Name)
		}
		if time.Now().After(limit) || !run.Wait(s.Context(), 100*time.Millisecond) {
			s.Fatalf("not within %v: the move ends; %+v", moveWithin, op.Steps)
		}
	}
	at := map[bool]*cluster.Machine{true: to, false: from}[op.State == operator.OpDone]
	s.figure("move from %s, agents killed (%s): %s after %.1f s; %d kills came too late: %v", from.Name, strings.Join(told, ", "), op.State,
		time.Since(begin).Seconds(), len(kills), op.Problem)
	for _, m := range s.Hosts {
		if _, err := s.WaitHost(s.Context(), m.Name, patience(), isActive); err != nil {
			s.Fatal(err)
		}
	}
	s.only(n, at, sum)
	return s.settled("mover").Nodes[0], at == to
}

// movedUnderKill moves a node with a small volume while the agent of one of the two hosts is killed.
func movedUnderKill(s story) {
	n := s.mover(8)
	defer s.delete("mover")
	s.moveUnderKills(n, s.sum(n), murder{s.Hosts[rand.N(len(s.Hosts))], rand.N(2 * time.Second)})
}

// steps tells when each step of an operation became what it is.
func (s story) steps(op operator.Operation) {
	for _, step := range op.Steps {
		s.figure("move, step %s: %s after %.2f s: %s", step.Name, step.State, step.At.Sub(op.Created).Seconds(), step.Detail)
	}
}

func longest(list []visit) (d time.Duration) {
	for _, v := range list {
		d = max(d, v.took)
	}
	return d
}

// load is what wrk saw.
type load struct {
	requests, failed int
	longest          time.Duration
	text             string // all that it said
}

// wrk loads an environment's page over four connections, until it is stopped.
func (s story) wrk(env string) (stop func() load) {
	s.Helper()
	ctx, end := context.WithCancel(s.Context())
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c4", "-d1h", "--timeout", "30s", "-H", "Host: "+s.Host(env),
		fmt.Sprintf("http://127.0.0.1:%d/", s.Ports.Pages))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it says then what it saw
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		s.Fatalf("start wrk: %v (Debian package wrk)", err)
	}
	s.Cleanup(end)
	return func() load {
		end()
		cmd.Wait()
		l, err := readWrk(out.String())
		if err != nil {
			s.Fatal(err)
		}
		return l
	}
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s+(\d+) requests in `)
	wrkLongest  = regexp.MustCompile(`(?m)^\s+Latency\s+\S+\s+\S+\s+(\S+)`)
	wrkFailed   = regexp.MustCompile(`(?m)(?:Non-2xx or 3xx responses: |Socket errors: .*)\d+.*$`)
	number      = regexp.MustCompile(`\d+`)
)

// readWrk reads what wrk says at its end.
func readWrk(text string) (load, error) {
	l := load{text: text}
	r, m := wrkRequests.FindStringSubmatch(text), wrkLongest.FindStringSubmatch(text)
	if r == nil || m == nil {
		return l, fmt.Errorf("wrk says no figures:\n%s", text)
	}
	var err error
	if l.longest, err = time.ParseDuration(m[1]); err != nil {
		return l, fmt.Errorf("wrk's longest latency %q: %v", m[1], err)
	}
	l.requests, _ = strconv.Atoi(r[1])
	for _, line := range wrkFailed.FindAllString(text, -1) {
		for _, n := range number.FindAllString(strings.TrimPrefix(line, "Non-2xx or 3xx responses"), -1) {
			k, _ := strconv.Atoi(n)
			l.failed += k
		}
	}
	return l, nil
}

func TestReadWrk(t *testing.T) {
	const head = "Running 60m test @ http://127.0.0.1:17480/\n  1 threads and 4 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n" +
		"    Latency    10.17ms   40.09ms   1.90s    98.53%\n    Req/Sec   123.05     40.38   240.00     69.23%\n" +
		"  6499 requests in 52.31s, 7.10MB read\n"
	const tail = "Requests/sec:    124.24\nTransfer/sec:    138.93KB\n"
	for text, failed := range map[string]int{
		head + tail: 0,
		head + "  Socket errors: connect 0, read 2, write 0, timeout 1\n  Non-2xx or 3xx responses: 5\n" + tail: 8,
	} {
		l, err := readWrk(text)
		if err != nil || l.requests != 6499 || l.longest != 1900*time.Millisecond || l.failed != failed {
			t.Errorf("%+v, %v; want %d failed", l, err, failed)
		}
	}
	if _, err := readWrk("unable to connect"); err == nil {
		t.Error("no figures are no error")
	}
}
