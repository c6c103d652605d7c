package localapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
)

func options() Options {
	return Options{
		Status: func(context.Context) boot.AgentStatus {
			return boot.AgentStatus{Name: "host-1", Code: "K7QX-3MPA",
				Containers: []host.ContainerStatus{{CTID: 101, State: host.CtRunning}}}
		},
		Exec: func(_ context.Context, id wire.CTID, s host.ExecSpec, io command.Stdio) (host.Exit, error) {
			switch id {
			case 5:
				return host.Exit{}, container.ErrNotFound
			case 6:
				return host.Exit{}, container.ErrNotRunning
			}
			io.Out.Write([]byte(strings.Repeat("x", 2*MaxOutput)))
			io.Err.Write([]byte(strings.Join(s.Argv, " ")))
			return host.Exit{Code: 3}, nil
		},
		Logs: func(_ context.Context, id wire.CTID, s host.LogsSpec, line func(bool, []byte) error) error {
			if id == 5 {
				return container.ErrNotFound
			}
			return line(false, []byte("hello"))
		},
		Collect: func(context.Context) ([]wire.Digest, error) { return []wire.Digest{"sha256:aa"}, nil },
		Install: fakeInstaller{},
		Slots:   fakeSlots{},
	}
}

type fakeSlots struct{}

func (fakeSlots) Status() slots.Status { return slots.Status{Installed: true, Disk: "/dev/vda"} }

func (fakeSlots) Do(_ context.Context, r slots.Request) (slots.Status, error) {
	return slots.Status{Installed: true, Disk: string(r.Action)}, r.Validate()
}

type fakeInstaller struct{}

func (fakeInstaller) Status() install.Status {
	return install.Status{State: install.None, Disks: []install.Disk{{Path: "/dev/vda"}}}
}

func (fakeInstaller) Start(_ context.Context, s install.Spec) (install.Status, error) {
	if s.Wipe != "" {
		return install.Status{}, errors.New("not installed: disk /dev/vda: it is the boot medium; choose another disk")
	}
	return install.Status{State: install.Planned, Plan: &install.Plan{Disk: install.Disk{Path: s.Disk.Path}}}, nil
}

func TestHandler(t *testing.T) {
	srv := httptest.NewServer(Handler(options()))
	defer srv.Close()
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/status", "", 200, `"code":"K7QX-3MPA"`},
		{"GET", "/v1/containers", "", 200, `"state":"running"`},
		{"POST", "/v1/exec", `{"ctid":101,"argv":["/bin/echo","a"]}`, 200, `"stderr":"/bin/echo a"`},
		{"POST", "/v1/exec", `{"ctid":101}`, 400, "argv"},
		{"GET", "/v1/install", "", 200, `"path":"/dev/vda"`},
		{"POST", "/v1/install", `{"disk":{"path":"/dev/vdb"},"dryRun":true}`, 200, `"state":"planned"`},
		{"POST", "/v1/install", `{"wipe":"/dev/vda"}`, 409, "it is the boot medium; choose another disk"},
		{"GET", "/v1/slots", "", 200, `"disk":"/dev/vda"`},
		{"POST", "/v1/slots", `{"action":"try"}`, 200, `"disk":"try"`},
		{"POST", "/v1/slots", `{"action":"explode"}`, 409, "want try, rollback"},
		{"POST", "/v1/slots", `{"akshun":"try"}`, 400, `unknown field "akshun"`},
		{"POST", "/v1/install", `{"disc":{}}`, 400, `unknown field "disc"`},
		{"POST", "/v1/exec", `{"ctid":101,"argv":["/x"],"uid":0}`, 400, "argv"},
		{"POST", "/v1/exec", `{"ctid":5,"argv":["/x"]}`, 404, "does not exist"},
		{"POST", "/v1/exec", `{"ctid":6,"argv":["/x"]}`, 409, "not running"},
		{"GET", "/v1/logs/101", "", 200, "hello\n"},
		{"GET", "/v1/logs/5", "", 404, "does not exist"},
		{"GET", "/v1/logs/x", "", 400, "container"},
		{"GET", "/v1/logs/101?tail=-1", "", 400, "tail"},
		{"POST", "/v1/images/collect", "", 200, "sha256:aa"},
		{"GET", "/v1/exec", "", 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path+" "+tt.body, func(t *testing.T) {
			req, _ := http.NewRequest(tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			raw, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(raw), tt.want) {
				t.Errorf("got %d %.200q, want %d with %q", resp.StatusCode, raw, tt.status, tt.want)
			}
			if len(raw) > MaxOutput+1000 {
				t.Errorf("the output was not cut: %d bytes", len(raw))
			}
		})
	}
}

func TestSocketIsRootsOnly(t *testing.T) {
	o := options()
	o.Socket = filepath.Join(t.TempDir(), "agent.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	serve, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- serve(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", o.Socket)
		}}}
	resp, err := c.Get("http://agent/v1/status") // it is open before it is served
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if st, err := os.Stat(o.Socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v; want 0600", st.Mode(), err)
	}
}
