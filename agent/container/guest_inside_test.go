//go:build guest

package container

import (
	"io"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/nodecall"
)

// TestInside: a port of a container is reached on its loopback, and what it uses is told by process.
func TestInside(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 141, "while :; do nc -l -p 8080 -e echo hello; done")
	mustStart(t, r, s)
	got := ""
	soon(t, "the port answers", func() bool {
		c, err := r.Dial(deadline(t), 141, 8080)
		if err != nil {
			return false
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		got = string(b)
		return err == nil
	})
	if got != "hello\n" {
		t.Errorf("the port says %q", got)
	}
	const refused = "nothing answers at its TCP port 81: connection refused"
	if _, err := r.Dial(deadline(t), 141, 81); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("where nobody listens: %v", err)
	}
	if _, err := r.Dial(deadline(t), 142, 80); err == nil {
		t.Error("a container that is not there was reached")
	}
	u, err := r.Sample(deadline(t), 141)
	if err != nil || u.Memory == 0 || u.CPUMicros == 0 || u.PIDs == 0 || u.PIDsMax == 0 {
		t.Errorf("%+v %v", u, err)
	}
	first := func(p nodecall.Process) bool { return p.PID == 1 && p.UID == 0 && p.Name == "sh" && p.Memory > 0 }
	if !slices.ContainsFunc(u.Processes, first) {
		t.Errorf("processes: %+v", u.Processes)
	}
}
