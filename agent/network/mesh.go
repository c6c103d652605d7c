package network

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

	"hardnode.dev/internal/wire/host"
)

// meshOverhead is what WireGuard adds to a packet over IPv6, the larger of the two: 40 + 8 + 32 bytes.
const meshOverhead = 80

// meshPeer is one WireGuard peer as it shall be.
type meshPeer struct {
	name     string
	key      wgtypes.Key
	endpoint netip.AddrPort
	allowed  []netip.Prefix
}

// meshPeers are the other hosts the mesh connects to. A host without a key of its present boot, or whose key is no key, is left out. A moved address belongs
// to the host it moved to; WireGuard itself prefers the longer prefix.
func meshPeers(s State) (out []meshPeer) {
	if s.Peers == nil {
		return nil
	}
	seen := map[wgtypes.Key]bool{}
	for _, p := range s.Peers.Hosts {
		if p.ID == s.Self || !reachable(p) {
			continue
		}
		key, err := wgtypes.ParseKey(p.MeshKey)
		if err != nil || seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, meshPeer{name: p.Name, key: key, endpoint: netip.AddrPortFrom(p.Underlay, meshPort), allowed: allowed(p)})
	}
	slices.SortFunc(out, func(a, b meshPeer) int { return slices.Compare(a.key[:], b.key[:]) })
	return out
}

func allowed(p host.Peer) []netip.Prefix {
	all := slices.Concat(p.Blocks, p.Moved)
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(all)
}

// meshChange is what must be sent to WireGuard to turn have into want: peers that are right are not touched, so their sessions go on.
func meshChange(have []wgtypes.Peer, want []meshPeer) (change []wgtypes.PeerConfig) {
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
		change = append(change, wgtypes.PeerConfig{PublicKey: w.key, Endpoint: net.UDPAddrFromAddrPort(w.endpoint), ReplaceAllowedIPs: true, AllowedIPs: toNets(w.allowed)})
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

// openMesh makes the WireGuard link with a new key, or takes the one an earlier agent of this boot made, and returns its public key.
// WireGuard refuses time going back, so a key lives for one boot only.
func openMesh(mtu int) (public string, err error) {
	l, err := netlink.LinkByName(meshLink)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = meshLink, mtu
		if err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
			return "", fmt.Errorf("make mesh link: %v", err)
		}
		l, err = netlink.LinkByName(meshLink)
	}
	if err != nil {
		return "", fmt.Errorf("find mesh link: %v", err)
	}
	c, err := wgctrl.New()
	if err != nil {
		return "", fmt.Errorf("open WireGuard: %v", err)
	}
	defer c.Close()
	dev, err := c.Device(meshLink)
	if err != nil {
		return "", fmt.Errorf("read mesh link: %v", err)
	}
	key := dev.PrivateKey
	if key == (wgtypes.Key{}) {
		if key, err = wgtypes.GeneratePrivateKey(); err != nil {
			return "", fmt.Errorf("make mesh key: %v", err)
		}
		listen := meshPort
		if err := c.ConfigureDevice(meshLink, wgtypes.Config{PrivateKey: &key, ListenPort: &listen}); err != nil {
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

// applyMesh makes WireGuard's peers those of the state.
func applyMesh(s State) error {
	c, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("open WireGuard: %v", err)
	}
	defer c.Close()
	dev, err := c.Device(meshLink)
	if err != nil {
		return fmt.Errorf("read mesh link: %v", err)
	}
	change := meshChange(dev.Peers, meshPeers(s))
	if len(change) == 0 {
		return nil
	}
	if err := c.ConfigureDevice(meshLink, wgtypes.Config{Peers: change}); err != nil {
		return fmt.Errorf("set mesh peers: %v", err)
	}
	return nil
}
