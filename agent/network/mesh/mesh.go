// Package mesh is the WireGuard link between the hosts of a cluster.
//
// Owns: the link, its key of this boot, its peers.
// In: the hosts of the cluster with their keys and blocks, which of them this is.
// Out: a kernel whose peers are the other hosts, and that takes what they send by threads; this boot's public key.
// Never: says which packets go through it (routes and rules do), touches a peer that is right, or keeps a key over a boot.
package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Link and Port are the link's name, and the UDP port it listens on at every host.
const (
	Link = "hn-mesh"
	Port = 7441
)

// Overhead is what WireGuard adds to a packet over IPv6, the larger of the two: 40 + 8 + 32 bytes.
const Overhead = 80

// peer is one WireGuard peer as it shall be.
type peer struct {
	name     string
	key      wgtypes.Key
	endpoint netip.AddrPort
	allowed  []netip.Prefix
}

// peers are the other hosts the mesh connects to. A host without a key of its present boot, or whose key is no key, is left out. A moved
// address belongs to the host it moved to; WireGuard itself prefers the longer prefix.
func peers(self wire.HostID, all *host.Peers) (out []peer) {
	if all == nil {
		return nil
	}
	seen := map[wgtypes.Key]bool{}
	for _, p := range all.Hosts {
		if p.ID == self || !Reachable(p) {
			continue
		}
		key, err := wgtypes.ParseKey(p.MeshKey)
		if err != nil || seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, peer{name: p.Name, key: key, endpoint: netip.AddrPortFrom(p.Underlay, Port), allowed: allowed(p)})
	}
	slices.SortFunc(out, func(a, b peer) int { return slices.Compare(a.key[:], b.key[:]) })
	return out
}

func allowed(p host.Peer) []netip.Prefix {
	all := slices.Concat(p.Blocks, p.Moved)
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(all)
}

// change is what must be sent to WireGuard to turn have into want: peers that are right are not touched, so their sessions go on.
func change(have []wgtypes.Peer, want []peer) (change []wgtypes.PeerConfig) {
	old := make(map[wgtypes.Key]wgtypes.Peer, len(have))
	for _, p := range have {
		old[p.PublicKey] = p
	}
	for _, w := range want {
		o, ok := old[w.key]
		delete(old, w.key)
		if ok && o.Endpoint != nil && o.Endpoint.AddrPort() == w.endpoint && sameNets(o.AllowedIPs, w.allowed) {
			continue
		}
		change = append(change, wgtypes.PeerConfig{PublicKey: w.key, Endpoint: net.UDPAddrFromAddrPort(w.endpoint), ReplaceAllowedIPs: true,
			AllowedIPs: toNets(w.allowed)})
	}
	for _, p := range have {
		if _, gone := old[p.PublicKey]; gone {
			change = append([]wgtypes.PeerConfig{{PublicKey: p.PublicKey, Remove: true}}, change...)
		}
	}
	return change
}

func toNets(ps []netip.Prefix) []net.IPNet {
	out := make([]net.IPNet, len(ps))
	for i, p := range ps {
		out[i] = toNet(p)
	}
	return out
}

func toNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func sameNets(have []net.IPNet, want []netip.Prefix) bool {
	got := make([]netip.Prefix, 0, len(have))
	for _, n := range have {
		a, _ := netip.AddrFromSlice(n.IP)
		ones, _ := n.Mask.Size()
		got = append(got, netip.PrefixFrom(a.Unmap(), ones))
	}
	slices.SortFunc(got, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Equal(got, want)
}

// Open makes the link with a new key, or takes the one an earlier agent of this boot made, and returns its public key.
// WireGuard refuses time going back, so a key lives for one boot only.
func Open(mtu int) (public string, err error) {
	l, err := netlink.LinkByName(Link)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = Link, mtu
		if err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
			return "", fmt.Errorf("make mesh link: %v", err)
		}
		l, err = netlink.LinkByName(Link)
	}
	if err != nil {
		return "", fmt.Errorf("find mesh link: %v", err)
	}
	c, err := wgctrl.New()
	if err != nil {
		return "", fmt.Errorf("open WireGuard: %v", err)
	}
	defer c.Close()
	dev, err := c.Device(Link)
	if err != nil {
		return "", fmt.Errorf("read mesh link: %v", err)
	}
	key := dev.PrivateKey
	if key == (wgtypes.Key{}) {
		if key, err = wgtypes.GeneratePrivateKey(); err != nil {
			return "", fmt.Errorf("make mesh key: %v", err)
		}
		listen := Port
		if err := c.ConfigureDevice(Link, wgtypes.Config{PrivateKey: &key, ListenPort: &listen}); err != nil {
			return "", fmt.Errorf("set mesh key: %v", err)
		}
	}
	if l.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			return "", fmt.Errorf("set mesh MTU to %d: %v", mtu, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return "", fmt.Errorf("set mesh link up: %v", err)
	}
	return key.PublicKey().String(), nil
}

// Apply makes WireGuard's peers the hosts of all that can be reached, but for self. A nil all has none.
func Apply(self wire.HostID, all *host.Peers) error {
	c, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("open WireGuard: %v", err)
	}
	defer c.Close()
	dev, err := c.Device(Link)
	if err != nil {
		return fmt.Errorf("read mesh link: %v", err)
	}
	change := change(dev.Peers, peers(self, all))
	if len(change) == 0 {
		return nil
	}
	if err := c.ConfigureDevice(Link, wgtypes.Config{Peers: change}); err != nil {
		return fmt.Errorf("set mesh peers: %v", err)
	}
	return nil
}

// Reachable tells whether the mesh can carry packets to p.
func Reachable(p host.Peer) bool { return p.MeshKey != "" && p.Underlay.IsValid() }
