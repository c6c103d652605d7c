//go:build guest

package localapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/boot"
)

// TestVsock asks over the kernel's vsock loopback, the way the hypervisor asks; and shows that a sender who is not the expected one gets
// no answer.
func TestVsock(t *testing.T) {
	for name, tt := range map[string]struct {
		from uint32
		want bool
	}{"expected sender": {unix.VMADDR_CID_LOCAL, true}, "another sender": {unix.VMADDR_CID_HOST, false}} {
		t.Run(name, func(t *testing.T) {
			raw, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, boot.AgentVsockPort, nil)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: Handler(options())}
			defer srv.Close()
			go srv.Serve(&oneSender{raw, tt.from})
			body, err := ask()
			if got := err == nil && strings.Contains(body, "host-1"); got != tt.want {
				t.Errorf("answered: %v (%q, %v), want %v", got, body, err, tt.want)
			}
		})
	}
}

func TestServesVsock(t *testing.T) {
	o := options()
	o.Socket, o.fromLoopback = filepath.Join(t.TempDir(), "agent.sock"), true
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	serve, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- serve(ctx) }()
	err = errors.New("not asked")
	for n := 0; n < 50 && err != nil; n++ {
		time.Sleep(50 * time.Millisecond)
		_, err = ask()
	}
	if err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNoGuestNoVsock: a machine that is no guest does not listen, since a container on it could claim to be the hypervisor.
func TestNoGuestNoVsock(t *testing.T) {
	if l, err := listenVsock(false); err == nil {
		l.Close()
		t.Error("a machine without a hypervisor's vsock listens")
	}
}

func ask() (string, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context,
		string, string) (net.Conn, error) {
		return vsock.Dial(unix.VMADDR_CID_LOCAL, boot.AgentVsockPort, nil)
	}}}
	resp, err := c.Get("http://agent/v1/status")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return string(raw), err
}
