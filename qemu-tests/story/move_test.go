//go:build qemu

package story

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// moveGap is how long a request may wait while its node moves.
const moveGap = 2 * time.Second

// TestMove moves a node with 500 MiB under load: part of `make soak`.
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

// move moves a node, and returns how that ended.
func (s story) move(n operator.Node, to *cluster.Machine) (op operator.Operation) {
	s.Helper()
	if err := s.Get(s.Context(), &op, "node", "move", n.CTID.String(), to.Name, "--no-wait"); err != nil {
		s.Fatal(err)
	}
	s.until("the move ends", func() bool { op = s.look(op); return op.State.Final() })
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
	now := s.settled("mover").Nodes
	if len(now) != 1 || now[0].CTID != n.CTID || now[0].HostName != to.Name || now[0].InternalIP != n.InternalIP {
		s.Fatalf("the nodes are %+v, want %s on %s at %s alone", now, n.CTID, to.Name, n.InternalIP)
	}
	for _, m := range s.Hosts {
		if runs := len(s.inContainers(m)[n.CTID]) > 0; runs != (m == to) {
			s.Errorf("after its move to %s: that node %s runs on %s is %t", to.Name, n.CTID, m.Name, runs)
		}
	}
	if got := s.sum(n); got != sum {
		s.Errorf("its data had the checksum %s, and has %s", sum, got)
	}
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
