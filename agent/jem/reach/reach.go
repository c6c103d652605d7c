// Package reach asks whether the host answers a container over its network.
//
// Owns: what counts as an answer: a TCP connection to the name server that the host gave it, at its gateway.
// In: the container's /etc/resolv.conf.
// Out: an error that names the server and the reason.
// Never: sends anything.
package reach

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "host", Help: "the container's host", Actions: []contract.Action{
	{Name: "reach", Help: "whether the host answers at the container's gateway", Reads: true,
		Begin: contract.Only(func(ctx context.Context, c *contract.Call) error {
			return answers(ctx, filepath.Join(c.Root, "etc/resolv.conf"), "53", 5*time.Second)
		})},
}}

// answers tells whether the first name server of a resolv.conf is reached within so long.
func answers(ctx context.Context, resolv, port string, within time.Duration) error {
	server, err := first(resolv)
	if err != nil {
		return &jem.Error{Code: "not_found", Reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(server, port))
		if err == nil {
			return c.Close()
		}
		if !run.Wait(ctx, 100*time.Millisecond) {
			return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("the host does not answer at %s within %s: %v", server, within, err)}
		}
	}
}

// first is the first name server of a resolv.conf (resolv.conf(5)).
func first(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("%s names no name server", path)
}
