package syslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/hostlog"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// certificate is one for 127.0.0.1 that is its own CA.
func certificate(t *testing.T) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0], s.Certificate()
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// message reads one message as a server does: its length in bytes, a blank, so many bytes.
func message(r *bufio.Reader) (string, error) {
	n, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSuffix(n, " "))
	if err != nil {
		return "", err
	}
	raw := make([]byte, size)
	_, err = io.ReadFull(r, raw)
	return string(raw), err
}

// logServer takes messages on a port; each connection's are handed over until it says no.
func logServer(t *testing.T, addr string, cert tls.Certificate) (at string, got chan string, stop func()) {
	t.Helper()
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				go func() { <-ctx.Done(); c.Close() }()
				for r := bufio.NewReader(c); ; {
					m, err := message(r)
					if err != nil {
						return
					}
					got <- m
				}
			}()
		}
	}()
	stop = func() { cancel(); l.Close() }
	t.Cleanup(stop)
	return l.Addr().String(), got, stop
}

type bench struct {
	*Export
	dir  string
	stop func()
}

// export sends the agent's log of a folder to some servers.
func export(t *testing.T, dir string, servers ...boot.Syslog) bench {
	t.Helper()
	e := New(Options{Config: func(context.Context) (boot.HostConfig, error) {
		return boot.HostConfig{Log: &boot.Log{Syslog: servers}}, nil
	}, Name: func() string { return "host-1" }, Logs: hostlog.Logs{Dir: dir, Kmsg: filepath.Join(dir, "none")},
		Place: filepath.Join(dir, "place")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended: %v", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return bench{e, dir, stop}
}

func (b bench) write(t *testing.T, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(b.dir, "agent"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, l := range lines {
		fmt.Fprintln(f, l)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); run.Wait(t.Context(), 10*time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

func next(t *testing.T, got chan string) string {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no message within 30 s")
		return ""
	}
}

// A line is a message of RFC 5424, below a CA or by the key; a server that comes back gets what waited for it, and what waited when the
// agent ended is sent by the next one.
func TestExport(t *testing.T) {
	cert, leaf := certificate(t)
	addr, got, stop := logServer(t, "127.0.0.1:0", cert)
	dir := t.TempDir()
	b := export(t, dir, boot.Syslog{Address: addr, CA: pemOf(leaf)})
	b.write(t, `time=2026-11-27T01:02:03.456Z level=WARN msg="it fails" program=agent`, "panic: \x1b[2Jgone")
	want := `<28>1 2026-11-27T01:02:03.456000Z host-1 agent - - - time=2026-11-27T01:02:03.456Z level=WARN msg="it fails" program=agent`
	if m := next(t, got); m != want {
		t.Errorf("got %q, want %q", m, want)
	}
	if m := next(t, got); m != `<30>1 2026-11-27T01:02:03.456000Z host-1 agent - - - panic:  [2Jgone` {
		t.Errorf("a line without a time: %q", m)
	}
	stop()
	eventually(t, "that it gets nothing is a problem", func() bool {
		ps := b.Problems()
		return len(ps) == 1 && ps[0].Object == "log server "+addr && ps[0].Next != ""
	})
	b.write(t, "time=2026-11-27T01:02:04.000Z level=INFO msg=later")
	eventually(t, "the line waits", func() bool { return strings.Contains(b.Problems()[0].Reason, "1 lines wait") })
	b.stop()
	_, got, _ = logServer(t, addr, cert)
	b = export(t, dir, boot.Syslog{Address: addr, Pin: identity.Pin(leaf)})
	for {
		m := next(t, got)
		if strings.HasSuffix(m, "msg=later") {
			break
		}
		if !strings.Contains(m, "01:02:03.456") { // the last of one moment may come twice
			t.Errorf("sent before it: %q", m)
		}
	}
	eventually(t, "nothing is wrong any more", func() bool { return len(b.Problems()) == 0 })
}

// A server that does not prove who it is gets nothing.
func TestStranger(t *testing.T) {
	cert, leaf := certificate(t)
	addr, got, _ := logServer(t, "127.0.0.1:0", cert)
	_, port, _ := net.SplitHostPort(addr)
	other := "sha256:" + strings.Repeat("0", 64)
	for what, s := range map[string]boot.Syslog{"another key": {Address: addr, Pin: other},
		"another name": {Address: "localhost:" + port, CA: pemOf(leaf)}} {
		b := export(t, t.TempDir(), s)
		b.write(t, "time=2026-11-27T01:02:03.456Z level=INFO msg=secret")
		eventually(t, what+" is a problem", func() bool {
			ps := b.Problems()
			return len(ps) == 1 && regexp.MustCompile(`it gets no logs: .*(key|certificate).*; 1 lines wait`).MatchString(ps[0].Reason)
		})
		b.stop()
	}
	select {
	case m := <-got:
		t.Errorf("it was sent %q", m)
	default:
	}
}

// What does not fit is dropped, oldest first, and counted; it is said to the server when it is back.
func TestBounds(t *testing.T) {
	q := newQueue(100)
	put := func(i int) { q.put(line{host.UnitAgent, time.Unix(int64(i), 0), bytes.Repeat([]byte{'x'}, 40)}) }
	for i := range 5 {
		put(i)
	}
	l, dropped, ok := q.first()
	if lines, lost := q.waiting(); !ok || lines != 2 || lost != 3 || dropped != 3 || l.at.Unix() != 3 {
		t.Errorf("%d lines wait, %d are lost, the first is of %s", lines, lost, l.at)
	}
	put(5) // it is dropped while it is being sent
	q.sent(l, dropped)
	l, dropped, _ = q.first()
	if lines, lost := q.waiting(); lines != 2 || lost != 4 || dropped != 1 || l.at.Unix() != 4 || q.place(host.UnitAgent).Unix() != 3 {
		t.Errorf("%d lines wait, %d are lost, %d to be told, the first is of %s", lines, lost, dropped, l.at)
	}
	q.sent(l, dropped)
	if lines, _ := q.waiting(); lines != 1 || q.place(host.UnitAgent).Unix() != 4 {
		t.Errorf("%d lines wait", lines)
	}
	// A line larger than all is kept: it is the newest.
	q.put(line{host.UnitInit, time.Unix(9, 0), bytes.Repeat([]byte{'x'}, 400)})
	if lines, lost := q.waiting(); lines != 1 || lost != 5 {
		t.Errorf("%d lines wait, %d are lost", lines, lost)
	}
}

func TestFrame(t *testing.T) {
	at := time.Date(2026, 11, 27, 1, 2, 3, 4000, time.UTC)
	for _, c := range []struct {
		name string
		unit host.Unit
		at   time.Time
		text string
		want string
	}{
		{"host-1", host.UnitKernel, at, "eth0: up", "<6>1 2026-11-27T01:02:03.000004Z host-1 kernel - - - eth0: up"},
		{"", host.UnitInit, time.Time{}, "x", "<30>1 - - init - - - x"},
		{"a b\x00ä", host.UnitNetd, at, "a level=ERROR b\n<0>1 false\xff",
			"<27>1 2026-11-27T01:02:03.000004Z ab netd - - - a level=ERROR b <0>1 false?"},
		{"h", host.UnitNetd, at, "a level=DEBUG b", "<31>1 2026-11-27T01:02:03.000004Z h netd - - - a level=DEBUG b"},
	} {
		m, err := message(bufio.NewReader(bytes.NewReader(frame(c.name, c.unit, c.at, []byte(c.text)))))
		if err != nil || m != c.want {
			t.Errorf("%q: got %q, %v; want %q", c.text, m, err, c.want)
		}
	}
	long := frame("h", host.UnitAgent, at, bytes.Repeat([]byte("ä"), maxText))
	if m, err := message(bufio.NewReader(bytes.NewReader(long))); err != nil || len(m) > maxText+100 || !strings.HasSuffix(m, "ä…") {
		t.Errorf("a long line: %d bytes, %v", len(m), err)
	}
}
