package talk

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/wire/console"
)

// agent is one that answers from a table of paths, and refuses the rest.
func agent(t *testing.T, answers map[string]string) *ask.Client {
	t.Helper()
	at := filepath.Join(t.TempDir(), "console.sock")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := answers[r.Method+" "+r.URL.String()]; ok {
			w.Write([]byte(text))
			return
		}
		http.Error(w, "there is no "+r.URL.String()+" here", http.StatusNotFound)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return ask.To("the agent", at)
}

func TestRun(t *testing.T) {
	a := agent(t, map[string]string{
		"GET /v1/containers": `[{"ctid":101,"state":"running","env":"shop","hostname":"web-1","image":"nginx","memoryBytes":5242880},` +
			`{"ctid":102,"state":"failing","env":"e","layer":"cp","reason":"exited\u001b[2J with code 1","restarts":4}]`,
		"GET /v1/log/dmesg?tail=20":         "one\ntwo \x1b[2J\n",
		"GET /v1/log/agent?tail=0":          "level=INFO msg=a\nlevel=ERROR msg=B\n",
		"GET /v1/containers/101/log?tail=3": "hello\n\u009b6n\n",
		"GET /v1/support":                   strings.Repeat("s", 100),
		"GET /v1/storage": `{"state":"degraded","reason":"the other disk is gone","disks":[{"path":"/dev/vda","serial":"S1","use":"used"},` +
			`{"use":"gone"}]}`,
		"POST /v1/storage":                     `{"state":"filling","steps":["partition /dev/vdb","copy DATA"],"step":1}`,
		"GET /v1/slots":                        `{"installed":false}`,
		"GET /v1/network":                      `{"links":[{"name":"up0","mac":"52:54:00:aa:00:01","up":true,"addresses":["10.0.0.2/24"],"underlay":true}],"confirmed":{}}`,
		"GET /v1/host":                         `{"configured":true,"capacity":{"diskBytes":1073741824},"load":{"diskUsed":1048576}}`,
		"GET /v1/install":                      `{"state":"none","disks":[{"path":"/dev/vda","bytes":1073741824,"holds":"nothing"}]}`,
		"GET /v1/containers/101/log?tail=20":   "x\n",
		"GET /v1/containers/101/log?tail=2000": "x\n",
	})
	for _, c := range []struct {
		line, want string
		exit       int
		next       Next
	}{
		{"", "", 0, Stay},
		{"   ", "", 0, Stay},
		{"status", "host          h\nexit status 0\n", 0, Stay},
		{"status --json", `{"name":"h"}` + "\nexit status 0\n", 0, Stay},
		{"containers", "ID      STATE     NODE                       MEMORY    STARTS   IMAGE\n" +
			"101     running   shop/web-1                 5 MiB     1        nginx\n" +
			"102     failing   e/cp                       0 KiB     5\n" +
			"    exited?[2J with code 1\nexit status 0\n", 0, Stay},
		{"log", "one\ntwo ?[2J\nexit status 0\n", 0, Stay},
		{"log agent --grep error", "level=ERROR msg=B\nexit status 0\n", 0, Stay},
		{"log agent --grep=error --json", `{"line":"level=ERROR msg=B"}` + "\nexit status 0\n", 0, Stay},
		{"log nosuch", "error: there is no /v1/log/nosuch?tail=20 here\nexit status 1\n", 1, Stay},
		{"container logs 101 --tail 3", "hello\n?6n\nexit status 0\n", 0, Stay},
		{"container logs", "error: want: container logs ID [--tail N] [--grep TEXT]\nexit status 2\n", 2, Stay},
		{"unlock", "error: want: unlock KEY\nexit status 2\n", 2, Stay},
		{"unlock ABCD EFGH", "error: there is no /v1/unlock here\nexit status 1\n", 1, Stay},
		{"container logs x", "exit status 2\n", 2, Stay},
		{"container logs 101 --tail many", "error: --tail many: want a number\nexit status 2\n", 2, Stay},
		{"slots", "this host is not installed: it was booted from a medium or the network, and has no slots\nexit status 0\n", 0, Stay},
		{"network", "up0          52:54:00:aa:00:01  up    10.0.0.2/24\n", 0, Stay},
		{"storage", "DATA          1 MiB of 1024 MiB used\n", 0, Stay},
		{"support", "-----BEGIN SUPPORT BUNDLE-----\n" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), 57)) + "\n", 0, Stay},
		{"stat", "error: \"stat\" is not known; type help\nexit status 2\n", 2, Stay},
		{"status --colour", "error: --colour is not known here; it takes --json\nexit status 2\n", 2, Stay},
		{"status --json=1", "error: --json takes no value\nexit status 2\n", 2, Stay},
		{`log --grep "a`, "error: a \" is open at the end of the line; close it\nexit status 2\n", 2, Stay},
		{"log nosuch --json", `{"error":"there is no /v1/log/nosuch?tail=20 here","status":1}` + "\nexit status 1\n", 1, Stay},
		{"help", "  container logs ", 0, Stay},
		{"help log", "log [UNIT] [--tail N] [--grep TEXT]\n", 0, Stay},
		{"help nothing", "exit status 2\n", 2, Stay},
		{"storage", "mirror        degraded: the other disk is gone\n              /dev/vda S1 used\n              a disk gone\n", 0, Stay},
		{"exit", "exit status 0\n", 0, Leave},
	} {
		var out bytes.Buffer
		s := &Session{Agent: a, Out: &out, Summary: func(context.Context, *ask.Client) ([]string, any, error) {
			return []string{"host          h"}, map[string]string{"name": "h"}, nil
		}}
		exit, next := s.Run(t.Context(), c.line)
		if exit != c.exit || next != c.next || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: got %d, %d and\n%s\nwant %d, %d and\n%s", c.line, exit, next, &out, c.exit, c.next, c.want)
		}
	}
}

// TestPassword: a change asks for it when it is wanted, once; a wrong one is said; a script may give it before.
func TestPassword(t *testing.T) {
	at := filepath.Join(t.TempDir(), "console.sock")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/v1/login" && string(raw) == `{"tty":"ttyS0","password":"right"}`:
			w.Write([]byte(`{"id":"s1"}`))
		case r.URL.Path == "/v1/login":
			http.Error(w, "that is not the console's password", http.StatusUnauthorized)
		case r.Header.Get(console.SessionHeader) != "s1":
			http.Error(w, "a change needs the console's password: login", http.StatusUnauthorized)
		default:
			did = append(did, r.URL.Path+" "+string(raw))
			w.Write([]byte("{}"))
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	defer func() { srv.Close(); <-done }()
	typed := []string{"wrong", "right"}
	var out bytes.Buffer
	s := &Session{Agent: ask.To("the agent", at), Out: &out, TTY: "ttyS0"}
	s.Question = func(_ context.Context, _ string, hidden bool) (string, error) {
		if !hidden {
			t.Error("a password is echoed")
		}
		next := typed[0]
		typed = typed[1:]
		return next, nil
	}
	for _, c := range []struct {
		line string
		exit int
	}{
		{"container restart 101", Locked}, {"container restart 101", Done}, {"slots try b --reboot", Done}, {"slots rollback", Done},
		{"slots try --within 90", Done}, {"slots try --within soon", Misused}, {"slots copy a", Done},
		{"install /dev/sda --wipe /dev/sda --dry-run", Done}, {"install sda", Misused},
		{"install /dev/sda /dev/sdb --wipe /dev/sda,/dev/sdb", Done}, {"storage replace --wipe /dev/sdb", Done},
		{"storage add /dev/sdb --dry-run", Done},
		{"storage replace sdb", Misused}, {"reboot new disk", Done}, {"poweroff", Done},
		{"support stick", Done}, {"reset --name host-1", Done}, {"logout", Done},
	} {
		if exit, _ := s.Run(t.Context(), c.line); exit != c.exit {
			t.Errorf("%s: exit status %d, want %d; %s", c.line, exit, c.exit, &out)
		}
	}
	want := `/v1/containers/101/restart {}
/v1/slots {"action":"try","slot":"b","reboot":true}
/v1/slots {"action":"rollback"}
/v1/slots {"action":"try","withinSec":90}
/v1/slots {"action":"copy","slot":"a"}
/v1/install {"spec":{"disk":{"path":"/dev/sda"},"wipe":"/dev/sda","dryRun":true}}
/v1/install {"spec":{"disks":[{"path":"/dev/sda"},{"path":"/dev/sdb"}],"wipes":["/dev/sda","/dev/sdb"]}}
/v1/storage {"wipe":"/dev/sdb"}
/v1/storage {"add":true,"disk":{"path":"/dev/sdb"},"dryRun":true}
/v1/leave {"reason":"new disk"}
/v1/leave {"powerOff":true}
/v1/support/stick {}
/v1/reset {"name":"host-1"}
/v1/logout {}`
	if got := strings.Join(did, "\n"); got != want || s.Agent.Header.Get(console.SessionHeader) != "" {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestChallenge: where the configuration has a key, a challenge is shown and its answer begins the session; with a password beside it, an
// empty one asks for the challenge.
func TestChallenge(t *testing.T) {
	for _, c := range []struct {
		host  string
		typed []string
		asked string
	}{
		{`{"challenge":true}`, []string{"code"}, "answer to ABC: "},
		{`{"challenge":true,"password":true}`, []string{"", "code"}, "password (none: a challenge): |answer to ABC: "},
	} {
		at, begun := filepath.Join(t.TempDir(), "console.sock"), ""
		l, err := net.Listen("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, _ := io.ReadAll(r.Body)
			switch {
			case r.URL.Path == "/v1/host":
				io.WriteString(w, c.host)
			case r.URL.Path == "/v1/challenge":
				io.WriteString(w, `{"text":"ABC","host":"host-1"}`)
			case r.URL.Path == "/v1/login":
				begun = string(raw)
				io.WriteString(w, `{"id":"s1"}`)
			case r.Header.Get(console.SessionHeader) != "s1":
				http.Error(w, "login", http.StatusUnauthorized)
			default:
				io.WriteString(w, "{}")
			}
		})}
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(l) }()
		var out bytes.Buffer
		var asked []string
		s := &Session{Agent: ask.To("the agent", at), Out: &out, TTY: "tty1"}
		s.Question = func(_ context.Context, prompt string, hidden bool) (string, error) {
			asked = append(asked, prompt)
			return c.typed[len(asked)-1], nil
		}
		exit, _ := s.Run(t.Context(), "slots rollback")
		srv.Close()
		<-done
		if exit != Done || strings.Join(asked, "|") != c.asked || begun != `{"tty":"tty1","challenge":"ABC","answer":"code"}` ||
			!strings.Contains(out.String(), "hnctl host console-answer --key FILE host-1 ABC\n") {
			t.Errorf("%s: got %d, asked %q, begun %s\n%s", c.host, exit, asked, begun, &out)
		}
	}
}

func TestAgentAway(t *testing.T) {
	var out bytes.Buffer
	s := &Session{Agent: ask.To("the agent", filepath.Join(t.TempDir(), "none")), Out: &out, Patience: 2 * time.Millisecond,
		Away: func(context.Context) string { return "it is starting; ask again" }}
	for _, c := range []struct{ line, want string }{
		{"slots", "asking the agent ...\nerror: the agent does not answer: it is starting; ask again\nexit status 4\n"},
		{"slots --json", `{"error":"the agent does not answer: it is starting; ask again","status":4}` + "\nexit status 4\n"},
	} {
		out.Reset()
		if exit, _ := s.Run(t.Context(), c.line); exit != Away || out.String() != c.want {
			t.Errorf("%s: got %d, %q", c.line, exit, out.String())
		}
	}
}

// TestAgentStarts: a command that is typed before the agent listens is answered when it does.
func TestAgentStarts(t *testing.T) {
	at := filepath.Join(t.TempDir(), "console.sock")
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"installed":false}`) })}
	asked, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-asked
		l, err := socket.Listen(at, 0)
		if err != nil {
			t.Error(err)
			return
		}
		srv.Serve(l)
	}()
	out := &told{text: "asking the agent ...", then: func() { close(asked) }}
	s := &Session{Agent: ask.To("the agent", at), Out: out, Patience: time.Minute}
	if exit, _ := s.Run(t.Context(), "slots"); exit != Done || !strings.Contains(out.String(), "this host is not installed") {
		t.Errorf("got %d, %q", exit, out.String())
	}
	srv.Close()
	<-done
}

// told is an output that does something once when a text has come.
type told struct {
	bytes.Buffer
	text string
	then func() // nil: it was done
}

func (w *told) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.then != nil && strings.Contains(w.String(), w.text) {
		w.then()
		w.then = nil
	}
	return n, err
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                   nil,
		"a  b\tc":            {"a", "b", "c"},
		`a "b c" d""`:        {"a", "b c", "d"},
		`--grep="x y" "" \"`: {"--grep=x y", "", `"`},
		`a\ b`:               {"a b"},
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"`, `a\`} {
		if _, err := split(line); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

func TestEditor(t *testing.T) {
	for _, c := range []struct {
		typed, echo, line string
		keys              []Key
	}{
		{"ab\r\n", "ab\n", "ab", []Key{Enter}},
		{"\n\n", "\n\n", "", []Key{Enter, Enter}},
		{"abc\x7f\x08d\r", "abc\b \b\b \bd\n", "ad", []Key{Enter}},
		{"ab\x15c\r", "ab\b \b\b \bc\n", "c", []Key{Enter}},
		{"\x7f\x1b[A\x1bOP\x1b[[A\x1b[15~x\r", "x\n", "x", []Key{Enter}},
		{"ab\x03", "ab^C\n", "", []Key{Interrupt}},
		{"a\x04\x03\x04", "a^C\n\n", "", []Key{Interrupt, End}},
		{"a\x00\xc3\xa9\x9b\x14", "a", "a", []Key{Open}},
	} {
		var e Editor
		echo, keys := "", []Key(nil)
		for _, b := range []byte(c.typed) {
			s, k := e.Byte(b)
			if echo += s; k != None {
				keys = append(keys, k)
			}
		}
		if line := e.Take(); echo != c.echo || line != c.line || !slices.Equal(keys, c.keys) {
			t.Errorf("%q: got %q %q %v, want %q %q %v", c.typed, echo, line, keys, c.echo, c.line, c.keys)
		}
	}
	e := Editor{Hidden: true}
	for _, b := range []byte("secret\x7f\x15pass") {
		if echo, _ := e.Byte(b); echo != "" {
			t.Errorf("a hidden line shows %q", echo)
		}
	}
	if e.Typed() != "" || e.Take() != "pass" {
		t.Error("a hidden line is shown, or lost")
	}
}

// FuzzLine: whatever is typed, what comes back to the terminal steers nothing but its own cursor.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"status\r", "log --grep \"a b\" --tail 3\r", "\x1b[2J\x1bOPhelp\r",
		"container logs 1\\ 2\r", "\x9b6n\r", "a -- --b\r"} {
		f.Add([]byte(seed))
	}
	away := ask.To("the agent", "/nonexistent/console.sock")
	f.Fuzz(func(t *testing.T, typed []byte) {
		var out bytes.Buffer
		s := &Session{Agent: away, Out: &out, Summary: func(context.Context, *ask.Client) ([]string, any, error) { return nil, nil, nil },
			Question: func(context.Context, string, bool) (string, error) { return "", io.EOF }}
		var e Editor
		for _, b := range typed {
			echo, k := e.Byte(b)
			out.WriteString(echo)
			if k != Enter {
				continue
			}
			line := e.Take()
			before := out.Len()
			s.Run(t.Context(), line)
			if strings.Trim(line, " ") != "" && !strings.Contains(out.String()[before:], "exit status ") {
				t.Errorf("%q has no exit status: %q", line, out.String()[before:])
			}
		}
		for _, b := range out.Bytes() {
			if b != '\n' && b != '\b' && (b < 0x20 || b > 0x7e) {
				t.Fatalf("%q came back with byte %#x: %q", typed, b, out.Bytes())
			}
		}
	})
}
