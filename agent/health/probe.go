package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"hardnode.dev/internal/wire/host"
)

// Probe is the real check: a TCP connection, or an HTTP answer of 200–399.
func Probe(ctx context.Context, a netip.Addr, c host.Check) error {
	at := netip.AddrPortFrom(a, c.Port).String()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("connect to port %d: %v", c.Port, err)
	}
	defer conn.Close()
	if c.Path == "" {
		return nil
	}
	// One request on the connection just made: http.Client would keep a pool for nothing.
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: hardnode-check\r\nConnection: close\r\n\r\n", c.Path,
		at); err != nil {
		return fmt.Errorf("ask port %d for %s: %v", c.Port, c.Path, err)
	}
	line := make([]byte, 12) // "HTTP/1.1 200"
	for n := 0; n < len(line); {
		m, err := conn.Read(line[n:])
		if n += m; err != nil && n < len(line) {
			return fmt.Errorf("ask port %d for %s: %v", c.Port, c.Path, err)
		}
	}
	var status int
	if _, err := fmt.Sscanf(string(line[8:]), "%d", &status); err != nil || !strings.HasPrefix(string(line), "HTTP/1.") {
		return fmt.Errorf("ask port %d for %s: it does not speak HTTP", c.Port, c.Path)
	}
	if status < 200 || status > 399 {
		return fmt.Errorf("ask port %d for %s: status %d %s", c.Port, c.Path, status, http.StatusText(status))
	}
	return nil
}
