package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// start serves on a socket and returns a real HTTP client for it, and what is asked of Leave, which runs after the answer is out. loaded
// may be nil.
func start(t *testing.T, loaded func(context.Context) error) (*http.Client, <-chan string) {
	path := filepath.Join(t.TempDir(), "init.sock")
	l, err := socket.Listen(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 8)
	notYet := errors.New("none was loaded")
	next := func() error { defer func() { notYet = nil }(); return notYet }
	s := Server{Loaded: loaded, Next: next, Ended: func(pid int) (int, bool) { return 137, pid == 4711 },
		Status: func() boot.Status { return boot.Status{Boot: "b1", Problem: "none"} },
		Leave:  func(l upkeep.Leave) { asked <- strings.TrimSpace(l.What() + " " + l.Reason + " " + l.By) }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}}, asked
}

func TestStatusThroughARealClient(t *testing.T) {
	client, _ := start(t, nil)
	res, err := client.Get("http://init/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got boot.Status
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != 200 || got.Boot != "b1" {
		t.Errorf("got %d %+v, %v", res.StatusCode, got, err)
	}
}

// TestLoaded: whoever asks is answered when the modules are loaded, with what would not load; others are answered meanwhile.
func TestLoaded(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		body   string
	}{
		{nil, 200, `{}`},
		{errors.New(`1 of 2 modules: load module "veth.ko": no room`), 503,
			`{"status":503,"code":"unavailable","detail":"1 of 2 modules: load module \"veth.ko\": no room"}`},
	} {
		asked, end := make(chan struct{}), make(chan struct{})
		client, _ := start(t, func(ctx context.Context) error {
			close(asked)
			<-end
			return c.err
		})
		type answer struct {
			status int
			body   string
		}
		answered := make(chan answer, 1)
		go func() {
			res, err := client.Get("http://init/v1/loaded")
			if err != nil {
				answered <- answer{body: err.Error()}
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answered <- answer{res.StatusCode, string(body)}
		}()
		<-asked
		res, err := client.Get("http://init/v1/status")
		if err != nil {
			t.Fatalf("another question meanwhile: %v", err)
		}
		res.Body.Close()
		select {
		case a := <-answered:
			t.Errorf("answered before the modules were loaded: %+v", a)
		default:
		}
		close(end)
		if a := <-answered; a.status != c.status || a.body != c.body {
			t.Errorf("got %+v, want %d %s", a, c.status, c.body)
		}
	}
}

func TestLeaveNeedsAReason(t *testing.T) {
	client, asked := start(t, nil)
	for _, c := range []struct {
		path, body string
		status     int
		asks       string
	}{
		{"/v1/reboot", `{"reason":"new kernel"}`, 202, "reboot new kernel"},
		{"/v1/poweroff", `{"reason":"moved"}`, 202, "poweroff moved"},
		{"/v1/reboot", `{"reason":"new disk","by":"admin (t-1)"}`, 202, "reboot new disk admin (t-1)"},
		{"/v1/reboot", `{"reason":"a\u001b[2Jb\n","by":"c\u009bd"}`, 202, "reboot a[2Jb cd"},
		{"/v1/reboot", `{}`, 400, ""},
		{"/v1/reboot", `{"by":"admin"}`, 400, ""},
		{"/v1/reboot", `{"reason":"x","by":"` + strings.Repeat("y", 201) + `"}`, 400, ""},
		{"/v1/reboot", `{"reason":"x","force":true}`, 400, ""},
		{"/v1/reboot", ``, 400, ""},
		{"/v1/kexec", `{"reason":"new kernel"}`, 409, ""}, // nothing was loaded
		{"/v1/kexec", `{"reason":"new kernel"}`, 202, "kexec new kernel"},
		{"/v1/kexec", `{}`, 400, ""},
		{"/v1/halt", `{"reason":"x"}`, 404, ""},
	} {
		res, err := client.Post("http://init"+c.path, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("POST %s %s: %d %s, want %d", c.path, c.body, res.StatusCode, text, c.status)
		}
		if c.asks == "" {
			continue
		}
		if got := <-asked; got != c.asks {
			t.Errorf("POST %s %s asked for %q, want %q", c.path, c.body, got, c.asks)
		}
	}
	if len(asked) > 0 {
		t.Errorf("a refused request asked for %q", <-asked)
	}
}

// TestOthersMayOnlyAsk: the program at the terminals runs as another user; whoever takes it over can't leave the machine by it.
func TestOthersMayOnlyAsk(t *testing.T) {
	s := Server{Status: func() boot.Status { return boot.Status{Boot: "b1"} }, Loaded: func(context.Context) error { return nil },
		Leave: func(l upkeep.Leave) { t.Errorf("asked to leave: %+v", l) }}
	for _, c := range []struct{ request, want string }{
		{"GET /v1/status HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "},
		{"GET /v1/loaded HTTP/1.0\r\n\r\n", "HTTP/1.1 403 "},
		{"POST /v1/status HTTP/1.0\r\n\r\n", "HTTP/1.1 403 "},
		{"POST /v1/reboot HTTP/1.0\r\nContent-Length: 14\r\n\r\n{\"reason\":\"x\"}", "HTTP/1.1 403 "},
	} {
		var out bytes.Buffer
		s.answer(t.Context(), strings.NewReader(c.request), &out, false)
		if !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%q: got %q, want %q", c.request, out.String(), c.want)
		}
	}
}

// TestQuiet: it lasts as long as the client's connection.
func TestQuiet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "init.sock")
	l, err := socket.Listen(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan string, 1)
	s := Server{Quiet: func(tty string) func() {
		if tty != "ttyS0" {
			return nil
		}
		return func() { over <- tty }
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	ask := func(body string) (net.Conn, string) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /v1/quiet HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		head := make([]byte, 13)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatal(err)
		}
		return c, string(head)
	}
	for _, body := range []string{`{"tty":"none"}`, `{}`, `x`} {
		if c, head := ask(body); head != "HTTP/1.1 400 " {
			t.Errorf("%s: %q", body, head)
			c.Close()
		}
	}
	c, head := ask(`{"tty":"ttyS0"}`)
	if head != "HTTP/1.1 200 " {
		t.Errorf("got %q", head)
	}
	select {
	case <-over:
		t.Error("it is over while the client is there")
	default:
	}
	c.Close()
	<-over
	ask(`{"tty":"ttyS0"}`)
	cancel()
	<-over
	<-done
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("GET /v1/status HTTP/1.1\r\nHost: init\r\n\r\n"))
	f.Add([]byte("POST /v1/reboot HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"reason\":\"x\"}"))
	s := Server{Status: func() boot.Status { return boot.Status{} }, Loaded: func(context.Context) error { return nil },
		Leave: func(upkeep.Leave) {}, Next: func() error { return nil }, Quiet: func(string) func() { return nil }}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		s.answer(t.Context(), bytes.NewReader(in), &out, true)
		if !bytes.HasPrefix(out.Bytes(), []byte("HTTP/1.1 ")) {
			t.Errorf("no answer to %q", in)
		}
	})
}

// TestEnded: how a process ended is told, if it is known.
func TestEnded(t *testing.T) {
	client, _ := start(t, nil)
	for path, want := range map[string]string{
		"4711": `200 {"code":137}`,
		"12":   `404 {"status":404,"code":"not_found","detail":"process 12: none of that number has ended here, or long ago"}`,
		"one":  `400 {"status":400,"code":"invalid","detail":"process \"one\": want its number"}`,
	} {
		res, err := client.Get("http://init" + boot.PathEnded + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", path, got, err, want)
		}
	}
}
