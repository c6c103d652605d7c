//go:build qemu

package story

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// TestBackup has a host keep backups of another one's node, with the agents of both killed meanwhile, and takes the node back on it when
// its own host is lost: part of `make soak`.
func TestBackup(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: the parts are tested without machines (internal/backup/far, agent/backup/shelf, tools/hnctl/cli)")
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
	n := s.mover(60)
	id, sum := n.CTID.String(), s.sum(n)
	from, keeper := s.Machine(n.HostName), s.other(n.HostName)
	key := filepath.Join(t.TempDir(), "key")
	recipient := strings.TrimSpace(s.hnctl("node", "backup", "key", key))
	place := "host:" + keeper.Name
	create := func(where string) error {
		ctx, cancel := context.WithTimeout(s.Context(), 3*patience())
		defer cancel()
		out, err := s.HNCTL(ctx, "node", "backup", "create", id, where, "--recipient", recipient)
		s.figure("backup create %s: %v\n%s", where, err, out)
		return err
	}

	if err := create("host:" + from.Name); err == nil || !strings.Contains(err.Error(), "runs on this very host") {
		s.Errorf("on its own host: %v", err)
	}
	if err := create("host:" + s.Infra.Name); err == nil || !strings.Contains(err.Error(), "only user hosts keep backups") {
		s.Errorf("on the infra host: %v", err)
	}

	// The keeper's agent is killed when the first chunk lies there: the session is made anew by itself. Then that of the node's host: the
	// next create goes on.
	for _, killed := range []*cluster.Machine{keeper, from} {
		ended := make(chan error, 1)
		go func() { ended <- create(place) }()
		s.until("a chunk lies on the keeper", func() bool { return s.begun(keeper, id) || len(ended) > 0 })
		if len(ended) > 0 {
			s.Errorf("the backup ended before the agent of %s was killed", killed.Name)
		}
		s.ask(killed, ask.Request{What: "kill", Path: agentExe})
		err := <-ended
		if killed == keeper && err != nil {
			s.Errorf("with the keeper's agent killed: %v", err)
		}
		if killed == from {
			if err == nil {
				s.Error("with the agent of the node's host killed it did not break off")
			}
			s.until("the host answers again", func() bool {
				h, err := s.HostList(s.Context())
				return err == nil && !slices.ContainsFunc(h, func(h operator.Host) bool { return !h.State.Answers() })
			})
			if err := create(place); err != nil {
				s.Fatalf("gone on with: %v", err)
			}
		}
		s.hnctl("node", "backup", "verify", place, id, "latest", "--key", key)
		if killed == keeper {
			s.hnctl("node", "backup", "delete", place, id, s.latest(place, id))
		}
	}
	s.hnctl("node", "exec", id, "--", "sh", "-c", "echo more > /srv/data/more && sync")
	if err := create(place); err != nil {
		s.Fatal(err)
	}
	s.hnctl("node", "backup", "prune", place, id, "--daily", "1")

	begin := time.Now()
	from.Kill()
	if _, err := s.WaitHost(s.Context(), from.Name, patience(),
		func(h operator.Host) bool { return h.State == operator.HostUnreachable }); err != nil {
		s.Fatal(err)
	}
	if err := create("host:" + from.Name); err == nil || !strings.Contains(err.Error(), "UNREACHABLE") {
		s.Errorf("to a host that is gone: %v", err)
	}
	s.hnctl("env", "create", "-f", s.file("again", 1, "dynamic: 2}",
		fmt.Sprintf("dynamic: 2}\n    diskMiB: 64\n    volumes: [{path: /srv/data, diskMiB: %d}]", 260)))
	again := s.settled("again").Nodes[0]
	s.hnctl("node", "backup", "restore", place, again.CTID.String(), "latest", "--of", id, "--key", key)
	if got := s.sum(s.settled("again").Nodes[0]); got != sum {
		s.Errorf("restored, its data has checksum %s, want %s", got, sum)
	}
	if got := s.hnctl("node", "exec", again.CTID.String(), "--", "cat", "/srv/data/more"); got != "more\n" {
		s.Errorf("of the second backup there is %q", got)
	}
	s.figure("a node of a lost host was back from %s after %.1f s", place, time.Since(begin).Seconds())
}

// begun tells whether a part of a backup lies on a host.
func (s story) begun(keeper *cluster.Machine, node string) bool {
	top := "/data/backups/" + node
	a, _ := keeper.Ask(s.Context(), ask.Request{What: "list", Path: top}) // nothing is there yet
	for _, name := range a.Names {
		in, err := keeper.Ask(s.Context(), ask.Request{What: "list", Path: top + "/" + name})
		if err == nil && slices.Contains(in.Names, "cut.json") {
			return true
		}
	}
	return false
}

// latest is the newest backup of a node.
func (s story) latest(place, id string) string {
	s.Helper()
	lines := strings.Fields(s.hnctl("node", "backup", "list", place, id, "-o", "name"))
	_, name, _ := strings.Cut(lines[len(lines)-1], "/")
	return name
}
