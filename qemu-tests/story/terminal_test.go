//go:build qemu

package story

import (
	"context"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/qemu-tests/terminal"
)

const consolePassword = "correct horse"

// consoleSection lets who knows the password change things at the hosts' terminals.
func consoleSection(t *testing.T) string {
	t.Helper()
	kept, err := password.Keep(consolePassword)
	if err != nil {
		t.Fatal(err)
	}
	return "console: {password: '" + kept + "'}\n"
}

// atTerminal: who stands at a host sees its containers, reads what one wrote, and restarts it, in lines and on a page, and its page is
// served again.
func atTerminal(s story) {
	n := s.settled("hello").Nodes[0]
	id, m, mark := n.CTID.String(), s.Machine(n.HostName), 0
	l := terminal.Line{TB: s.T, VM: m.VM(), Mark: &mark, Patience: patience()}
	l.Wakes("ACTIVE")
	now := func() (c console.Container) {
		s.Helper()
		var all []console.Container
		terminal.Document(s.T, l.Typed("containers --json", 0), &all)
		for _, x := range all {
			if x.CTID == n.CTID {
				c = x
			}
		}
		return c
	}
	before := now()
	if before.State != "running" || before.Env != "hello" || before.MemoryBytes == 0 || before.Image == "" {
		s.Errorf("node %s at the terminal of its host: %+v", id, before)
	}
	again := func() {
		s.Helper()
		ctx, cancel := context.WithTimeout(s.Context(), patience())
		defer cancel()
		for {
			c := now()
			if c.State == "running" && c.Started.After(before.Started) {
				before = c
				return
			}
			if !run.Wait(ctx, 200*time.Millisecond) {
				s.Fatalf("it does not run again: %+v, before %+v", c, before)
			}
		}
	}
	l.Rows([]terminal.Row{
		{Line: "containers", Want: id + " "},
		{Line: "container logs " + id + " --tail 200\rwrong", Want: "that is not the console's password", Exit: 3},
	})
	l.Until("login\r"+consolePassword, "exit status 0") // a wrong one has the next one wait
	for range 4 {
		if _, err := s.FetchPage(s.Context(), "hello", "/"); err != nil {
			s.Fatal(err)
		}
	}
	l.Until("container logs "+id+" --tail 200 --grep get", "GET /")
	l.Rows([]terminal.Row{{Line: "container restart " + id, Want: "it is started again"}})
	again()

	p := terminal.Serial(s.T, m.VM(), patience())
	p.Opens()
	p.Steps([][2]string{{"4", "> " + id + " "}, {"l", "Enter: back"}, {"\r", "r: restart"}, {"r", "restart " + id + "? y or n:"},
		{"y\r", "container " + id + " was stopped; it is started again"}, {"\r", "running"}}...)
	s.Logf("the page:\n%s", p.Shows())
	p.Leaves()
	again()
	l.Typed("logout", 0)
	l.Typed("exit", 0)
	if e := s.settled("hello"); len(e.Nodes) != 2 {
		s.Errorf("nodes after the restarts: %+v", e.Nodes)
	}
	if err := s.WaitPage(s.Context(), "hello", patience()); err != nil {
		s.Error(err)
	}
}
