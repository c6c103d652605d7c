package cli

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLoginOnATerminal: what is missing is asked for; the password and the code are never shown.
func TestLoginOnATerminal(t *testing.T) {
	dir := t.TempDir()
	stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	master, slave := terminal(t)
	code := make(chan int, 1)
	go func() { code <- Main(context.Background(), []string{"--config", dir, "login"}, slave, slave, slave) }()
	all := ""
	for _, step := range []struct {
		shows, types string
		unseen       bool
	}{{"mail address: ", "ada@acme.example\n", false}, {"password: ", "correct horse\n", true}, {"(empty: there is none): ", "\n", true},
		{"signed in to demo as ada@acme.example", "", false}} {
		all += screen(t, master, func(s string) bool {
			if !strings.Contains(all+s, step.shows) {
				return false
			}
			raw, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			return err == nil && (!step.unseen || raw.Lflag&unix.ECHO == 0)
		})
		if _, err := master.WriteString(step.types); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %q", got, all)
	}
	if strings.Contains(all, "correct horse") || !strings.Contains(all, "ada@acme.example\r\n") {
		t.Errorf("the terminal shows %q", all)
	}
}
