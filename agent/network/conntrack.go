package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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

func number(path string) (uint64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
}
