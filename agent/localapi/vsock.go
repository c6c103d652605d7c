package localapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// firstGuestCID is the lowest context id a virtual machine has (vsock(7)).
const firstGuestCID = 3

// listenVsock listens for the machine this one runs on. Containers share the kernel's vsock, and on a machine that is no guest they could
// claim to be the hypervisor: so only guests listen, and only connections from the hypervisor are taken.
func listenVsock(loopback bool) (net.Listener, error) {
	from := uint32(unix.VMADDR_CID_HOST)
	if loopback {
		from = unix.VMADDR_CID_LOCAL
	} else if id, err := vsock.ContextID(); err != nil {
		return nil, fmt.Errorf("read this machine's vsock address: %v", err)
	} else if id < firstGuestCID || id == unix.VMADDR_CID_ANY {
		return nil, fmt.Errorf("this machine (vsock address %d) is no guest", id)
	}
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, boot.AgentVsockPort, nil)
	if err != nil {
		return nil, err
	}
	return &oneSender{l, from}, nil
}

// oneSender takes connections from one context id only.
type oneSender struct {
	*vsock.Listener
	from uint32
}

// Accept implements net.Listener.
func (l *oneSender) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a, ok := c.RemoteAddr().(*vsock.Addr); ok && a.ContextID == l.from {
			return c, nil
		}
		c.Close()
	}
}

// serveVsock serves until srv is closed; a machine without vsock is asked again now and then, since its module may come later.
func serveVsock(ctx context.Context, srv *http.Server, log *slog.Logger, loopback bool) {
	for n := 0; ctx.Err() == nil; n++ {
		l, err := listenVsock(loopback)
		if err == nil {
			log.Info("API on vsock", "port", boot.AgentVsockPort)
			err = srv.Serve(l)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return
		}
		if n == 0 {
			log.Info("no API on vsock", logging.Reason, err)
		}
		run.Wait(ctx, run.Backoff(n, 5*time.Second, 5*time.Minute, 0.5))
	}
}
