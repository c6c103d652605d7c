package identityd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// vault keeps descriptors as init does.
type vault struct {
	mu sync.Mutex
	at map[string]*os.File
}

func (v *vault) Keep(name string, f *os.File) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	c, err := f.SyscallConn() // not Fd: that would make the socket blocking for everybody
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) {
		dup, _ := syscall.Dup(int(fd))
		v.at[name] = os.NewFile(uintptr(dup), name)
	})
}

func (v *vault) Drop(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.at, name)
	return nil
}

func post(path, body string) (int, string, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context,
		_, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := c.Post("http://agent/v1/certificate", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

func start(s *Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestSocketSaysWhoAsks(t *testing.T) {
	dir, v := t.TempDir(), &vault{at: map[string]*os.File{}}
	ask := func(_ context.Context, r host.ComponentRequest) (host.RenewReply, error) {
		if r.CTID == 4 {
			return host.RenewReply{}, errors.New("this host has not joined yet")
		}
		return host.RenewReply{Chain: [][]byte{[]byte(r.CTID.String()), r.CSR}}, nil
	}
	s := New(dir, ask, v, nil, nil)
	stop := start(s)
	paths := map[wire.CTID]string{}
	for _, id := range []wire.CTID{3, 4} {
		p, err := s.Socket(id)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := s.Socket(id); again != p {
			t.Errorf("asked again: got %q, want %q", again, p)
		}
		paths[id] = p
	}
	if _, err := s.Socket(101); err == nil {
		t.Error("a user's container got a socket")
	}
	tests := []struct {
		name   string
		id     wire.CTID
		body   string
		status int
		want   string
	}{
		{"orchestrator", 3, `{"csr":"Y3Ny"}`, 200, `"chain":["Mw==","Y3Ny"]`},
		{"it can't name another", 3, `{"csr":"Y3Ny","ctid":1}`, 200, `"chain":["Mw==","Y3Ny"]`},
		{"no request", 3, `{}`, 400, "csr"},
		{"not joined", 4, `{"csr":"Y3Ny"}`, 503, "not joined"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body, err := post(paths[tt.id], tt.body)
			if err != nil || status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %q %v, want %d with %q", status, body, err, tt.status, tt.want)
			}
		})
	}

	stop() // the agent ends; what a container holds is the socket's inode
	before, _ := os.Stat(paths[3])
	next := New(dir, ask, v, v.at, nil)
	defer start(next)()
	if p, err := next.Socket(3); err != nil || p != paths[3] {
		t.Errorf("second agent: got %q, %v", p, err)
	}
	if after, err := os.Stat(paths[3]); err != nil || !os.SameFile(before, after) {
		t.Error("a second agent made the socket anew: running components could not reach it")
	}
	if status, body, err := post(paths[3], `{"csr":"Y3Ny"}`); err != nil || status != 200 {
		t.Errorf("through the second agent: got %d %q, %v", status, body, err)
	}
	next.Forget(3)
	if _, err := os.Stat(paths[3]); !os.IsNotExist(err) || v.at["identity-3"] != nil {
		t.Error("a forgotten socket is still there")
	}
}
