package health

import (
	"cmp"
	"encoding/hex"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/agent/jem/file"
)

// socket is where something listens; host is one that reaches it from inside.
type socket struct {
	host string
	port uint16
}

const (
	maxSockets = 20
	maxTable   = 4 << 20
)

// listening reads the kernel's tables of this network (proc_net_tcp). A port is asked once, by IPv4 where that is there.
func listening(root string) (list []socket) {
	for _, table := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		raw, err := file.Read(filepath.Join(root, table), maxTable)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			s, ok := socketOf(line)
			if ok && len(list) < maxSockets && !slices.ContainsFunc(list, func(o socket) bool { return o.port == s.port }) {
				list = append(list, s)
			}
		}
	}
	slices.SortFunc(list, func(a, b socket) int { return cmp.Compare(a.port, b.port) })
	return list
}

// socketOf reads a line: number, local address, remote address, state; 0A is one that listens. Addresses are words in the machine's order.
func socketOf(line string) (s socket, ok bool) {
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != "0A" {
		return s, false
	}
	addr, port, _ := strings.Cut(f[1], ":")
	raw, err := hex.DecodeString(addr)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(raw) != net.IPv4len && len(raw) != net.IPv6len {
		return s, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	ip := net.IP(raw)
	switch {
	case ip.IsUnspecified() && len(raw) == net.IPv4len:
		ip = net.IPv4(127, 0, 0, 1)
	case ip.IsUnspecified():
		ip = net.IPv6loopback
	}
	return socket{ip.String(), uint16(n)}, true
}
