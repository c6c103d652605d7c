//go:build qemu

package story

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness"
)

// slowly takes what it is given at its own pace: nothing for a while, then piece after piece.
type slowly struct {
	ctx   context.Context
	stall time.Duration
	got   bytes.Buffer
}

func (s *slowly) Write(p []byte) (int, error) {
	run.Wait(s.ctx, s.stall)
	s.stall = 5 * time.Millisecond
	return s.got.Write(p)
}

// execCarriesAll: 5 MB of output come whole, with the command's own exit code, to a reader that takes nothing for a while and then piece
// after piece.
func execCarriesAll(s story) {
	n := s.settled("hello").Nodes[0]
	id := n.CTID.String()
	sum, _, _ := strings.Cut(s.hnctl("node", "exec", id, "--", "sh", "-c", "head -c 5000000 /dev/urandom > /tmp/big && sha256sum /tmp/big"),
		" ")
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute*harness.Scale())
	defer cancel()
	out := &slowly{ctx: ctx, stall: 10 * time.Second}
	began := time.Now()
	err := s.HNCTLTo(ctx, out, "node", "exec", id, "--", "cat", "/tmp/big")
	got := sha256.Sum256(out.got.Bytes())
	if err != nil || out.got.Len() != 5_000_000 || hex.EncodeToString(got[:]) != sum {
		s.Errorf("%d bytes came, of 5,000,000, %v", out.got.Len(), err)
	}
	s.figure("5 MB through exec to a slow reader: %.1f s", time.Since(began).Seconds())
	s.hnctl("node", "exec", id, "--", "rm", "/tmp/big")
}

// execOutOfMemory: a command that takes more than its node has ends alone, and is told of wherever one would look.
func execOutOfMemory(s story) {
	if _, err := s.HNCTL(s.Context(), "env", "create", "-f", s.file("small", 1, "dynamic: 2", "dynamic: 1")); err != nil {
		s.Logf("%v", err) // that it runs is looked at below
	}
	defer s.delete("small")
	before := s.settled("small").Nodes[0]
	id := before.CTID.String()
	m := s.Machine(before.HostName)
	mark := m.VM().Console.Mark()
	_, err := s.HNCTL(s.Context(), "node", "exec", id, "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
	for _, want := range []string{"exit status 137", "out of memory: process dd of a command used 1", "MiB of 128 MiB"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			s.Errorf("the command's end doesn't say %q: %v", want, err)
		}
	}
	s.until("the node's state says what ran out of memory", func() bool {
		e := s.env("small")
		return strings.Contains(e.Nodes[0].Reason, "out of memory: process dd")
	})
	after := s.env("small").Nodes[0]
	if after.State != "running" || after.Restarts != before.Restarts || !after.Started.Equal(before.Started) {
		s.Errorf("the node was %+v, is %+v: its own program shall go on", before, after)
	}
	if out := s.hnctl("host", "show", before.HostName); !strings.Contains(out, "container "+id+": out of memory: process dd") {
		s.Errorf("the host doesn't say it: %s", out)
	}
	s.console(m, mark, patience(), "the console says it",
		fmt.Sprintf(`! container %s: out of memory: process dd of a command used \d+ MiB of 128 MiB`, id))
	if e, err := s.WaitEnv(s.Context(), "small", time.Minute,
		func(e operator.Environment) bool { return e.State == operator.EnvRunning }); err != nil {
		s.Errorf("the environment: %+v %v", e, err)
	}
	// A client that goes takes all of its command along.
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.HNCTL(ctx, "node", "exec", id, "--", "sh", "-c", "(setsid sleep 7654321 &) ; sleep 7654321 | cat")
		ended <- err
	}()
	// The command lines of all processes, as the kernel keeps them (proc_pid_cmdline(5)): words end with a zero byte.
	lines := func() string {
		return s.hnctl("node", "exec", id, "--", "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; true")
	}
	const sleep = "sleep\x007654321\x00"
	s.until("both of a command's processes run", func() bool {
		all := lines()
		return strings.Count(all, sleep) == 2 && !strings.Contains(all, "setsid\x00")
	})
	cancel()
	if err := <-ended; err == nil {
		s.Error("a command that never ends ended well")
	}
	s.until("nothing of a command whose client is gone runs", func() bool { return !strings.Contains(lines(), sleep) })
}
