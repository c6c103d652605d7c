package screen

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/console/talk"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/testkit/vt100"
	"hardnode.dev/internal/wire/console"
)

// at is a screen on that terminal, and who types there.
type at struct {
	*testing.T
	*vt100.Terminal
	keys  io.Writer
	after chan string
	mu    sync.Mutex
	did   []string
}

func open(t *testing.T, answers map[string]string) *at {
	t.Helper()
	a := &at{T: t, Terminal: &vt100.Terminal{Fault: func(text string) { t.Error("to the terminal: " + text) }}, after: make(chan string, 1)}
	a.Paged(true)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		name := r.Method + " " + r.URL.Path
		switch {
		case name == "POST /v1/login" && strings.Contains(string(raw), `"right"`):
			io.WriteString(w, `{"id":"s1"}`)
		case r.Method == "POST" && r.Header.Get(console.SessionHeader) != "s1":
			http.Error(w, "a change needs the console's password: login", http.StatusUnauthorized)
		case answers[name] != "":
			if r.Method == "POST" {
				a.mu.Lock()
				a.did = append(a.did, r.URL.Path+" "+string(raw))
				a.mu.Unlock()
			}
			io.WriteString(w, answers[name])
		default:
			http.Error(w, "there is no "+r.URL.Path+" here", http.StatusNotFound)
		}
	})}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(l) }()
	in, keys := io.Pipe()
	a.keys = keys
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		after, err := Run(ctx, Options{Session: &talk.Session{Agent: ask.To("the agent", path), TTY: "ttyS0"}, In: in, Out: a.Terminal,
			Summary: func(context.Context, int) (string, []string, error) {
				return "host-1: ACTIVE", []string{"host          host-1\x1b[2J"}, nil
			}})
		if err != nil {
			t.Error(err)
		}
		in.Close()
		a.after <- after
	}()
	t.Cleanup(func() { cancel(); <-done; srv.Close(); <-served })
	return a
}

// sees waits for a text on the screen.
func (a *at) sees(text string) {
	a.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(a.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			a.Fatalf("no %q on\n%s", text, a.String())
		}
	}
}

// left waits until the screen was left, and returns what is to be done then.
func (a *at) left() string {
	a.Helper()
	select {
	case after := <-a.after:
		return after
	case <-time.After(time.Minute):
		a.Fatalf("the screen is still there:\n%s", a.String())
		return ""
	}
}

func (a *at) types(keys string) {
	a.Helper()
	if _, err := io.WriteString(a.keys, keys); err != nil {
		a.Fatal(err)
	}
}

// answers are those of a host with two containers and one link.
func answers() map[string]string {
	var log strings.Builder
	for n := range 100 {
		fmt.Fprintf(&log, "line %d\n", n)
	}
	log.WriteString("a \x1b]0;title\x07\u009b6n and a long " + strings.Repeat("tail ", 40) + "\n")
	return map[string]string{
		"GET /v1/network": `{"links":[{"name":"up0","mac":"52:54:00:aa:00:01","up":true,"addresses":["10.0.0.2/24"]}],` +
			`"confirmed":{"links":[{"name":"up0","mac":"52:54:00:aa:00:01","addresses":["10.0.0.2/24"]}]}}`,
		"GET /v1/status":  `{"stage":"joined","link":"connected"}`,
		"GET /v1/host":    `{"configured":true,"capacity":{"diskBytes":1073741824},"load":{"diskUsed":1048576}}`,
		"GET /v1/install": `{"state":"none","disks":[{"path":"/dev/vda","bytes":1073741824,"holds":"NTFS"},{"path":"/dev/vdb","bytes":1,"holds":"nothing"}]}`,
		"GET /v1/containers": `[{"ctid":101,"state":"running","env":"shop","hostname":"web-1"},` +
			`{"ctid":102,"state":"failing","env":"e","layer":"cp","reason":"exited with code 1 ` + strings.Repeat("again ", 30) + `"}]`,
		"GET /v1/storage":                 `{"state":"none"}`,
		"GET /v1/slots":                   `{"installed":true,"disk":"/dev/vda","slots":[{"name":"a","state":"committed"},{"name":"b","state":"good"}]}`,
		"GET /v1/log/dmesg":               log.String(),
		"GET /v1/log/agent":               "of the agent\n",
		"GET /v1/containers/102/log":      "hello from 102\n",
		"POST /v1/containers/102/restart": `{}`,
		"POST /v1/slots":                  `{"installed":true}`,
		"POST /v1/network/try":            `{"confirmed":{},"trial":{"network":{},"seconds":60}}`,
		"POST /v1/install":                `{"state":"planned"}`,
		"POST /v1/leave":                  `{}`,
	}
}

// TestPages walks through all of them.
func TestPages(t *testing.T) {
	a := open(t, answers())
	a.sees("host-1: ACTIVE")
	a.sees("host          host-1?[2J")
	for keys, want := range map[string]string{"2": "> up0 52:54:00:aa:00:01 10.0.0.2/24", "3": "> /dev/vda", "4": "> 101     running",
		"6": "a        committed", "7": "This host is in its cluster", "8": "base64"} {
		a.types(keys)
		a.sees("[" + keys + " ")
		a.sees(want)
	}
	a.types("5")
	a.sees("?]0;title??6n")
	a.types("g")
	a.sees("dmesg 1-18 of ")
	a.types(" ")
	a.sees("dmesg 19-36 of ")
	a.types("/line 7\r")
	a.sees("line 78\nline 79\n\n")
	a.types("/\x15nothing like it\r")
	a.sees("the log of dmesg has no such line")
	a.types("/\x15\ru")
	a.sees("of the agent")
	a.types("\t\x1b[D\x1b[C\x0cq")
	if after := a.left(); after != "" {
		t.Errorf("after: %q", after)
	}
	if s := strings.TrimSpace(a.String()); s != "" {
		t.Errorf("the terminal is left with\n%s", s)
	}
}

// TestChanges: each is a command, with the password when it is wanted and what must be typed typed.
func TestChanges(t *testing.T) {
	a := open(t, answers())
	a.sees("host-1: ACTIVE")
	a.types("4")
	a.sees("> 101     running")
	a.types("\x1b[B")
	a.sees("> 102     failing")
	a.types("r")
	a.sees("restart 102? y or n:")
	a.types("n\r")
	a.sees("not done")
	a.types("ry\r")
	a.sees("password:")
	a.types("right")
	a.sees("password: *****")
	a.types("\r")
	a.sees("container 102 was stopped")
	a.types("\r")
	a.sees("> 102     failing")
	a.types("l")
	a.sees("hello from 102")
	a.types("\r2")
	a.sees("> up0 52:54:00:aa:00:01 10.0.0.2/24")
	a.types("e")
	a.sees("link: up0 52:54:00:aa:00:01 10.0.0.2/24")
	a.types("\x7f\x7f\x7f/16\r")
	a.sees("on trial")
	a.types("\r3")
	a.sees("> /dev/vda")
	a.types("i/dev/vdb\r")
	a.sees("not done: that is not its name")
	a.types("i/dev/vda\r")
	a.sees("installation  planned")
	a.types("\r6")
	a.sees("b        good")
	a.types("t")
	a.sees("it counts from the next boot on")
	a.types("\rR")
	a.sees("because of")
	a.types("\x1b")
	a.sees("not done")
	a.types("Rnew \"disk\"\r")
	a.sees("\ndone") // not the "not done" of before: while a command is at work a key that begins another does nothing
	a.types("8")
	a.sees("[8 ")
	a.types("b")
	if after := a.left(); after != "support" {
		t.Errorf("after: %q", after)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	want := `/v1/containers/102/restart {}
/v1/network/try {"network":{"links":[{"name":"up0","mac":"52:54:00:aa:00:01","addresses":["10.0.0.2/16"]}]}}
/v1/install {"spec":{"disk":{"path":"/dev/vda"},"wipe":"/dev/vda"}}
/v1/slots {"action":"try"}
/v1/leave {"reason":"new \"disk\""}`
	if got := strings.Join(a.did, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestFits: the names of all pages are seen, whichever is shown, and what each of its keys does.
func TestFits(t *testing.T) {
	for n := range pages {
		for _, got := range []string{tabs(n), (&model{page: n, trial: true}).help()} {
			if len(got) >= Width {
				t.Errorf("%q has %d columns, the screen %d", got, len(got), Width)
			}
		}
	}
}
