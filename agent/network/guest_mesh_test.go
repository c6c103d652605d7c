//go:build guest

package network

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/agent/network/nft"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// TestMeshUntracked: the hosts' kernels keep no connection for WireGuard's own packets, over either family, and nobody gets to
// WireGuard by that who did not before: a container that sends as if it were another host is not heard, that host is.
func TestMeshUntracked(t *testing.T) {
	y := newYard(t)
	peers := y.states[0].Peers
	for f, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			for i := range peers.Hosts {
				peers.Hosts[i].Underlay, peers.Hosts[i].Addrs = under[i][f], append(under[i][:f:f], under[i][f+1:]...)
			}
			y.apply(t)
			from, to := y.cells["acme0"], y.cells["acme1"]
			for _, six := range []bool{false, true} {
				run(t, []probe{{"over the mesh", from, from.of(six), to.of(six), nft.UDP, 80, to.ear, true}})
			}
			for i := range y.hosts {
				inner, outer := tracked(t, y.hosts[i].ns)
				if outer != 0 || inner == 0 {
					t.Errorf("host %d keeps %d connections of WireGuard, want none, and %d of containers, want some", i, outer, inner)
				}
			}
			e := &ear{heard: map[string]bool{}}
			hearRaw(t, y.hosts[0].ns, f == 1, e)
			as := func(mark string) []byte {
				return packetFrom(mesh.Port, under[1][f], under[0][f], nft.UDP, mesh.Port, mark)
			}
			eve := y.cells["eve0"]
			for range 5 {
				throw(t, eve.ns, under[0][f], as("<eve>"))
			}
			run(t, []probe{{"what is sent after it", eve, eve.IPv4, Gateway, nft.UDP, 53, y.ears[0], true}})
			for end := time.Now().Add(30 * time.Second); !e.has("<host>") && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				throw(t, y.hosts[1].ns, under[0][f], as("<host>"))
			}
			if !e.has("<host>") {
				t.Error("the other host does not get to the mesh's port")
			}
			if e.has("<eve>") {
				t.Error("a container got to the mesh's port as another host")
			}
		})
	}
}

// TestMeshThreads: what comes from each peer is handed on by a thread of its own, also from one that is known later, and is carried so.
func TestMeshThreads(t *testing.T) {
	y := newYard(t)
	for i, m := range y.hosts {
		must(t, in(t, m.ns, func() error {
			fs, err := sys.NewMount("sysfs", 0)
			if err != nil {
				return err
			}
			defer fs.Close()
			raw, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/class/net/%s/threaded", fs.Fd(), mesh.Link))
			if err == nil && strings.TrimSpace(string(raw)) != "1" {
				err = fmt.Errorf("host %d: threaded is %q, want 1", i, raw)
			}
			return err
		}))
	}
	before := meshThreads(t)
	if before < len(y.hosts) {
		t.Errorf("the kernel has %d threads of the mesh, want one on each of %d hosts at least", before, len(y.hosts))
	}
	key := must1(wgtypes.GeneratePrivateKey())(t)
	peers := y.states[0].Peers
	peers.Hosts = append(peers.Hosts, host.Peer{ID: hostID(7), Name: "late", Role: host.RoleUser, Underlay: a("10.78.0.77"),
		MeshKey: key.PublicKey().String(), Blocks: []netip.Prefix{p("10.96.77.0/24")}})
	y.apply(t)
	if got := meshThreads(t); got != before+len(y.hosts) {
		t.Errorf("with one peer more for each of %d hosts the kernel has %d threads of the mesh, %d before", len(y.hosts), got, before)
	}
	carries(t, y.cells["acme0"], y.cells["acme1"])
}

// meshThreads counts the kernel's threads that hand on what comes by the mesh, of all network namespaces.
func meshThreads(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	must(t, err)
	for _, f := range all {
		if raw, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(raw), "napi/"+mesh.Link) {
			n++
		}
	}
	return n
}

// tracked counts the connections that a kernel keeps, of containers and of the mesh.
func tracked(t *testing.T, ns netns.NsHandle) (inner, outer int) {
	t.Helper()
	must(t, in(t, ns, func() error {
		for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
			flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
			if err != nil {
				return fmt.Errorf("list connections: %w", err)
			}
			for _, c := range flows {
				if c.Forward.Protocol == unix.IPPROTO_UDP && (c.Forward.SrcPort == mesh.Port || c.Forward.DstPort == mesh.Port) {
					outer++
				} else if c.Forward.DstPort == 80 {
					inner++
				}
			}
		}
		return nil
	}))
	return inner, outer
}

// hearRaw notes the marks of all UDP packets that the input rules of a host let in, whoever has their port.
func hearRaw(t *testing.T, ns netns.NsHandle, six bool, e *ear) {
	t.Helper()
	fd := -1
	must(t, in(t, ns, func() (err error) {
		family := unix.AF_INET
		if six {
			family = unix.AF_INET6
		}
		fd, err = unix.Socket(family, unix.SOCK_RAW, unix.IPPROTO_UDP)
		return err
	}))
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		defer unix.Close(fd)
		for b := make([]byte, 4096); ; {
			select {
			case <-stop:
				return
			default:
			}
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, _ := unix.Poll(p, 100); n < 1 {
				continue
			}
			if n, _, err := unix.Recvfrom(fd, b, 0); err == nil {
				e.take(b[:n])
			}
		}
	}()
}
