package consoleapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/secret/challenge"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/upkeep"
)

var private, key = challenge.NewKey()

func options() Options {
	return Options{
		Guard: &Guard{Now: time.Now,
			Known: func() (Known, error) { return Known{Configured: true, Password: "kept", Key: key, Host: "host-1"}, nil },
			Is:    func(kept, typed string) (bool, error) { return kept == "kept" && typed == "right", nil }},
		Restart: func(_ context.Context, id wire.CTID) error {
			if id == 5 {
				return container.ErrNotFound
			}
			return nil
		},
		ChangeSlots: func(_ context.Context, r slots.Request) (slots.Status, error) {
			return slots.Status{Disk: string(r.Action)}, nil
		},
		StartInstall: func(_ context.Context, s install.Spec) (install.Status, error) {
			return install.Status{}, errors.New("the disk " + s.Disk.Path + " is the boot medium")
		},
		Stick: func(context.Context) (console.Stick, error) { return console.Stick{File: "support-host-1.tar.gz"}, nil },
		Reset: func(_ context.Context, by string) error {
			if by != "terminal ttyS0" {
				return errors.New("ordered by " + by)
			}
			return nil
		},
		Activate: func(_ context.Context, raw []byte) (console.Activated, error) {
			return console.Activated{Name: string(raw), Kept: "nowhere"}, nil
		},
		ChangeNetwork: func(_ context.Context, how string, n *boot.NetworkTrial) (boot.NetworkStatus, error) {
			if (how == "try") != (n != nil) {
				return boot.NetworkStatus{}, errors.New(how)
			}
			return boot.NetworkStatus{Kept: how == "confirm", Trial: n}, nil
		},
		Leave: func(_ context.Context, l upkeep.Leave) error {
			if l.By != "terminal ttyS0" {
				return errors.New("ordered by " + l.By)
			}
			return nil
		},
		Status: func(context.Context) boot.AgentStatus {
			return boot.AgentStatus{Name: "host-1", Containers: []host.ContainerStatus{{CTID: 101, State: host.CtRunning},
				{CTID: 102, State: host.CtFailing}, {CTID: 103, State: host.CtRunning}}}
		},
		Host:       func() console.Host { return console.Host{Configured: true} },
		Network:    func(context.Context) (console.Network, error) { return console.Network{}, errors.New("netd is away") },
		Containers: func(context.Context) []console.Container { return []console.Container{{Env: "shop"}} },
		Install:    func() install.Status { return install.Status{State: install.None} },
		Slots:      func() slots.Status { return slots.Status{Installed: true} },
		Logs: func(_ context.Context, id wire.CTID, s host.LogsSpec, line func(bool, []byte) error) error {
			if id == 5 {
				return container.ErrNotFound
			}
			if s.Tail == 1 {
				line(false, []byte("hello"))
				return errors.New("the disk broke")
			}
			return line(false, []byte("hello\n"))
		},
		HostLogs: func(_ context.Context, s host.HostLogsSpec, line func([]byte) error) error {
			return line([]byte(s.Unit))
		},
		Show: func(_ context.Context, what upkeep.Show, w io.Writer) error {
			_, err := io.WriteString(w, string(what))
			return err
		},
	}
}

func TestHandler(t *testing.T) {
	srv := httptest.NewServer(Handler(options()))
	defer srv.Close()
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/v1/status", 200, `"name":"host-1"`},
		{"GET", "/v1/status", 200, `{"ctid":102`},
		{"GET", "/v1/status?" + boot.StatusBrief, 200, `"containers":null,"counts":{"failing":1,"running":2}`},
		{"GET", "/v1/host", 200, `"configured":true`},
		{"GET", "/v1/network", 503, "netd is away"},
		{"GET", "/v1/containers", 200, `"env":"shop"`},
		{"GET", "/v1/install", 200, `"state":"none"`},
		{"GET", "/v1/slots", 200, `"installed":true`},
		{"GET", "/v1/support", 200, "support"},
		{"GET", "/v1/log/agent?tail=3", 200, "agent\n"},
		{"GET", "/v1/log/agent?tail=-3", 400, "want a number of lines"},
		{"GET", "/v1/log/sshd", 400, "is not known"},
		{"GET", "/v1/containers/101/log", 401, "login"},
		{"GET", "/v1/containers/x/log", 400, "container"},
		{"POST", "/v1/exec", 404, ""},
		{"GET", "/v1/config", 404, ""},
	} {
		req, _ := http.NewRequest(c.method, srv.URL+c.path, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(raw), c.want) {
			t.Errorf("%s %s: got %d %.200q, %v; want %d with %q", c.method, c.path, res.StatusCode, raw, err, c.status, c.want)
		}
	}
}

// client speaks with the API in a session; "" is none.
func client(t *testing.T, o Options) func(session, method, path, body string) (int, string, error) {
	srv := httptest.NewServer(Handler(o))
	t.Cleanup(srv.Close)
	return func(session, method, path, body string) (int, string, error) {
		req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(console.SessionHeader, session)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		return res.StatusCode, string(raw), err
	}
}

func login(t *testing.T, ask func(session, method, path, body string) (int, string, error)) string {
	t.Helper()
	code, body, err := ask("", "POST", "/v1/login", `{"tty":"ttyS0","password":"right"}`)
	var s console.Session
	if err := errors.Join(err, json.Unmarshal([]byte(body), &s)); err != nil || code != 200 || len(s.ID) != 32 {
		t.Fatalf("login: %d %s, %v", code, body, err)
	}
	return s.ID
}

// TestChanges: none without a session, each with one.
func TestChanges(t *testing.T) {
	ask := client(t, options())
	session := login(t, ask)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/containers/101/restart", `{}`, 200, "{}"},
		{"POST", "/v1/containers/5/restart", `{}`, 404, "does not exist"},
		{"POST", "/v1/containers/x/restart", `{}`, 400, "container"},
		{"POST", "/v1/slots", `{"action":"try"}`, 200, `"disk":"try"`},
		{"POST", "/v1/slots", `{"action":"stage","file":"/x"}`, 400, "want try, copy or rollback"},
		{"POST", "/v1/slots", `{`, 400, "read what is asked"},
		{"POST", "/v1/slots", `{"action":"` + strings.Repeat("x", maxBody) + `"}`, 400, "read what is asked"},
		{"POST", "/v1/install", `{"spec":{"disk":{"path":"/dev/sda"}}}`, 409, "is the boot medium"},
		{"POST", "/v1/network/try", `{"network":{"links":[{"name":"up0","dhcp":true}]}}`, 200, `"trial":{"network":{"links":[{"name":"up0"`},
		{"POST", "/v1/network/try", `{}`, 400, "network"},
		{"POST", "/v1/network/confirm", `{}`, 200, `"kept":true`},
		{"POST", "/v1/network/revert", ``, 200, `"confirmed"`},
		{"POST", "/v1/activate", `{"text":"hnc1.bmFtZTogYQ"}`, 200, `{"name":"name: a","kept":"nowhere"}`},
		{"POST", "/v1/activate", `{"text":"hnc1.bmFtZTogYQ=="}`, 400, "was cut, or is another"},
		{"POST", "/v1/activate", `{"text":"hnc1."}`, 400, "was cut, or is another"},
		{"POST", "/v1/activate", `{"text":"bmFtZTogYQ"}`, 400, "was cut, or is another"},
		{"POST", "/v1/activate", `{"text":"hn1.00000000.00000000000000000000000000000000"}`, 400, "a join token alone"},
		{"POST", "/v1/support/stick", `{}`, 200, `"file":"support-host-1.tar.gz"`},
		{"POST", "/v1/reset", `{"name":"host-2"}`, 409, `"host-2" is not this host's name`},
		{"POST", "/v1/reset", `{"name":""}`, 409, "is not this host's name"},
		{"POST", "/v1/reset", `{"name":"host-1"}`, 200, "{}"},
		{"POST", "/v1/leave", `{"reason":"new disk"}`, 200, "{}"},
		{"GET", "/v1/containers/101/log", "", 200, "hello\n"},
		{"GET", "/v1/containers/5/log", "", 404, "does not exist"},
	} {
		for _, s := range []string{"", "00000000000000000000000000000000", session} {
			status, want := c.status, c.want
			if s != session && c.path != "/v1/containers/x/log" {
				status, want = 401, "login"
			}
			if code, body, err := ask(s, c.method, c.path, c.body); err != nil || code != status || !strings.Contains(body, want) {
				t.Errorf("%s %s %.50s in session %q: got %d %.200q, %v; want %d with %q", c.method, c.path, c.body, s, code, body, err,
					status, want)
			}
		}
	}
	if code, _, err := ask(session, "POST", "/v1/logout", ""); code != 200 || err != nil {
		t.Errorf("logout: %d, %v", code, err)
	}
	if code, _, err := ask(session, "POST", "/v1/leave", `{}`); code != 401 || err != nil {
		t.Errorf("after the logout: %d, %v", code, err)
	}
}

// TestBrokenOff: an answer that breaks off is not taken for a whole one.
func TestBrokenOff(t *testing.T) {
	ask := client(t, options())
	if _, _, err := ask(login(t, ask), "GET", "/v1/containers/101/log?tail=1", ""); err == nil {
		t.Error("no error")
	}
}

// TestUnlock: who knows the recovery key needs no password; a host that is not locked says so.
func TestUnlock(t *testing.T) {
	ask := func(o Options, body string) (int, string) {
		r := httptest.NewRequest("POST", "/v1/unlock", strings.NewReader(body))
		w := httptest.NewRecorder()
		Handler(o).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	o := options()
	if code, text := ask(o, `{"tty":"ttyS0","key":"ABCD"}`); code != http.StatusBadRequest || !strings.Contains(text, "not locked") {
		t.Errorf("a host that is not locked: %d %s", code, text)
	}
	o.Unlock = func(_ context.Context, key secret.Text, by string) error {
		if key.Reveal() != "ABCD" || by != "terminal ttyS0" {
			return errors.New("that is not the recovery key")
		}
		return nil
	}
	if code, text := ask(o, `{"tty":"ttyS0","key":"GUESS"}`); code != http.StatusConflict || !strings.Contains(text, "not the recovery key") {
		t.Errorf("a guess: %d %s", code, text)
	}
	if code, text := ask(o, `{"tty":"ttyS0","key":"ABCD"}`); code != http.StatusOK {
		t.Errorf("the key: %d %s", code, text)
	}
}
