package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run/ask"
)

// line is the far end of a pseudo terminal: who types and reads there.
type line struct {
	*testing.T
	f    *os.File
	name string
	mu   struct {
		sync.Mutex
		got  bytes.Buffer
		mark int
	}
}

// connect opens a pseudo terminal; its near end is /dev/pts/<name>.
func connect(t *testing.T) *line {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	c, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var ctl error
	if err := c.Control(func(fd uintptr) {
		if ctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ctl == nil {
			n, ctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || ctl != nil {
		t.Fatal(err, ctl)
	}
	return &line{T: t, f: f, name: fmt.Sprint(n)}
}

// read keeps what comes until the line is closed.
func (l *line) read() {
	b := make([]byte, 4096)
	for {
		n, err := l.f.Read(b)
		l.mu.Lock()
		l.mu.got.Write(b[:n])
		l.mu.Unlock()
		if errors.Is(err, unix.EIO) { // nobody has the near end open yet
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err != nil {
			return
		}
	}
}

func (l *line) typed(text string) {
	l.Helper()
	if _, err := l.f.WriteString(text); err != nil {
		l.Fatal(err)
	}
}

// wait waits until text comes behind what was waited for before, and returns what came up to its end.
func (l *line) wait(text string) string {
	l.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		rest := l.mu.got.String()[l.mu.mark:]
		if at := strings.Index(rest, text); at >= 0 {
			l.mu.mark += at + len(text)
			l.mu.Unlock()
			return rest[:at+len(text)]
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Fatalf("%q did not come; there is %q", text, l.mu.got.String()[l.mu.mark:])
	return ""
}

// from is an agent and an init that answer from a table of paths; paths that are not in it hang until the test ends.
func from(t *testing.T, answers map[string]string) asked {
	t.Helper()
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := answers[r.URL.Path]; ok {
			w.Write([]byte(text))
			return
		}
		<-r.Context().Done()
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return asked{ask.To("the agent", at), ask.To("init", at)}
}

// open puts this program on the lines.
func open(t *testing.T, h asked, wait time.Duration, names ...string) *terminals {
	t.Helper()
	ts := &terminals{log: slog.New(slog.DiscardHandler), host: h, dir: "/dev/pts", wait: wait}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); ts.close() })
	ts.use(ctx, names)
	return ts
}

// page is more than a terminal holds.
var page = strings.Repeat("x", 1<<20) + "\n"

// TestTerminals: one terminal that works, one that is absent, one that nobody reads and that is waited for long. None holds the others up.
func TestTerminals(t *testing.T) {
	good, stuck := connect(t), connect(t)
	ts := open(t, from(t, nil), time.Hour, good.name, "absent", stuck.name)
	if len(ts.open) != 2 {
		t.Fatalf("open: %d, want 2", len(ts.open))
	}
	go good.read()
	ts.open[stuck.name].show(page)
	ts.write("hello\n")
	good.wait("hello\r\n")
	if ts.open[stuck.name].gone() {
		t.Error("the stuck terminal was given up before its time")
	}
}

// TestStuck: a terminal that nobody reads is given up after a while.
func TestStuck(t *testing.T) {
	good, stuck := connect(t), connect(t)
	ts := open(t, from(t, nil), 50*time.Millisecond, good.name, stuck.name)
	ts.open[stuck.name].show(page)
	select {
	case <-ts.open[stuck.name].over:
	case <-time.After(time.Minute):
		t.Fatal("the stuck terminal is still in use")
	}
	ts.use(t.Context(), []string{good.name})
	if len(ts.open) != 1 {
		t.Errorf("%d terminals, want 1", len(ts.open))
	}
}

// TestConversation: Enter begins one, answers end with their status, what is typed ahead is answered in order, a status does not tear a
// line that is being typed, Ctrl-C stops an answer.
func TestConversation(t *testing.T) {
	l := connect(t)
	ts := open(t, from(t, map[string]string{"/v1/log/agent": "one\n", "/v1/log/netd": "two\x1b[2J\n"}), time.Minute, l.name)
	go l.read()
	ts.write("a status\n")
	l.wait("a status\r\n")
	l.typed("x") // no conversation yet
	l.typed("\r\n")
	if got := l.wait(prompt); strings.Contains(got, "x") && strings.HasPrefix(got, "x") {
		t.Errorf("a key before the conversation was echoed: %q", got)
	}
	l.typed("log agent\rlog netd\r\r")
	l.wait("one\r\nexit status 0\r\n" + prompt)
	l.wait("two?[2J\r\nexit status 0\r\n" + prompt)
	l.wait(prompt)
	l.typed("sta")
	l.wait("sta")
	ts.write("another status\n")
	l.wait("\r\nanother status\r\n" + prompt + "sta")
	l.typed("\x15slots\r") // hangs
	l.wait("slots\r\n")
	ts.write("held\n")
	for len(ts.open[l.name].news) > 0 { // until it is held, what is typed may overtake it
		time.Sleep(time.Millisecond)
	}
	l.typed("\x03")
	if got := l.wait(prompt); !strings.Contains(got, "error: stopped\r\nexit status 1\r\nheld\r\n") {
		t.Errorf("after Ctrl-C: %q", got)
	}
	l.typed("exit\r")
	l.wait("exit status 0\r\n")
	ts.write("bare\n")
	l.wait("bare\r\n")
}

// TestEchoedLine: a line that gives back all it is sent is left alone after a few rounds.
func TestEchoedLine(t *testing.T) {
	l := connect(t)
	ts := open(t, from(t, nil), time.Minute, l.name)
	go l.read()
	l.typed("\r" + strings.Repeat("hardnode> what\r", mostMisused))
	l.wait("nothing is taken for a minute\r\n")
	l.typed("\rhelp\r")
	ts.write("bare\n")
	if got := l.wait("bare\r\n"); got != "bare\r\n" {
		t.Errorf("it went on: %q", got)
	}
}
