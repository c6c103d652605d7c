package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/network/wall"
)

// end ends the connections that may not be any more: the rules that let them begin are gone, and packets of theirs would pass as known.
func end(w *wall.Wall) (ended uint, err error) {
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		for range 3 { // a table that changed while it was read is read again
			n, err2 := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, denied{w})
			if ended += n; errors.Is(err2, netlink.ErrDumpInterrupted) {
				continue
			}
			if err2 != nil {
				err = errors.Join(err, fmt.Errorf("end connections that are denied now: %v", err2))
			}
			break
		}
	}
	return ended, err
}

// denied matches connections that a wall does not allow.
type denied struct{ wall *wall.Wall }

// MatchConntrackFlow is asked by netlink.
func (d denied) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if p := f.Forward.Protocol; p != unix.IPPROTO_TCP && p != unix.IPPROTO_UDP {
		return false // looked at packet by packet
	}
	from, ok1 := netip.AddrFromSlice(f.Forward.SrcIP)
	called, ok2 := netip.AddrFromSlice(f.Forward.DstIP)
	to, ok3 := netip.AddrFromSlice(f.Reverse.SrcIP)
	return ok1 && ok2 && ok3 && !d.wall.Allows(wall.Connection{From: from.Unmap(), To: to.Unmap(), Protocol: f.Forward.Protocol,
		Port: f.Reverse.SrcPort, Published: called != to})
}
