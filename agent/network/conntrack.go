package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/network/crowd"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// The table of connections takes 320 bytes for one, and 8 for its place: with one for each 32 KiB of memory, a full one takes 1 % of it.
const (
	bytesOfMemory    = 32 << 10
	leastConnections = 65536
	mostConnections  = 1 << 21
	// fullAt is the percentage from which on people are told.
	fullAt = 80
)

func connections(memory uint64) uint64 {
	return min(max(memory/bytesOfMemory, leastConnections), mostConnections)
}

// sizeConnections gives the table of connections its size. It is the kernel's, of all namespaces: only the first may change it.
func sizeConnections(proc, sys string) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("read the size of memory: %v", err)
	}
	most := strconv.FormatUint(connections(info.Totalram*uint64(info.Unit)), 10)
	for _, path := range []string{filepath.Join(sys, "module/nf_conntrack/parameters/hashsize"), filepath.Join(proc, maxConnections)} {
		if err := os.WriteFile(path, []byte(most), 0o644); err != nil {
			return fmt.Errorf("size the table of connections: %v", err)
		}
	}
	return nil
}

const maxConnections, openConnections = "sys/net/netfilter/nf_conntrack_max", "sys/net/netfilter/nf_conntrack_count"

// Full says that the table of connections is nearly full, or nil.
func (n *Network) Full() *host.Problem { return full("/proc") }

func full(proc string) *host.Problem {
	open, err1 := number(filepath.Join(proc, openConnections))
	most, err2 := number(filepath.Join(proc, maxConnections))
	if err1 != nil || err2 != nil || most == 0 || open*100 < most*fullAt {
		return nil
	}
	return &host.Problem{Code: "exhausted", Object: "connections",
		Reason: fmt.Sprintf("more than %d %% of the %d connections that this host has room for are open: without room new ones are dropped",
			fullAt, most),
		Next: "find the node that opens so many (hnctl node exec NODE -- ss -s), or give the host more memory: there is room by its size"}
}

// bound holds each container to its part of the table of connections, and all together to what leaves room for the host's own. A kernel
// without that expression lets pass what there is room for.
func (n *Network) bound() {
	most, err := number(filepath.Join("/proc", maxConnections))
	if err == nil {
		n.limits = crowd.Of(most)
		err = crowd.Bound(n.limits, vethPrefix)
	}
	if why := fmt.Sprint(err); err != nil && why != n.unbound {
		n.unbound = why
		n.log.Warn("a container may have as many connections as there is room for", logging.Err, err)
	}
}

// Crowded are the containers of which new connections were dropped in the last minute, because they have as many as one may.
func (n *Network) Crowded() map[wire.CTID]bool {
	n.mu.Lock()
	limits, known := n.limits, n.crowded
	n.mu.Unlock()
	open, err := number(filepath.Join("/proc", openConnections))
	if limits.One == 0 || err != nil || open < uint64(limits.One) && len(known) == 0 { // nobody can
		return nil
	}
	links, err := crowd.Over(limits)
	if err != nil {
		return nil // it was said that there is no bound
	}
	now := map[wire.CTID]bool{}
	for _, l := range links {
		id, err := wire.ParseCTID(strings.TrimPrefix(l, vethPrefix))
		if err != nil {
			continue
		}
		if now[id] = true; !known[id] {
			n.log.Warn("new connections of a container are dropped", logging.Container, id, "most", limits.One,
				logging.Reason, "it has as many as one may")
		}
	}
	n.mu.Lock()
	n.crowded = now
	n.mu.Unlock()
	return now
}

func number(path string) (uint64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
}
