package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"hardnode.dev/agent/network/crowd"
	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/agent/network/nft"
	"hardnode.dev/agent/network/public"
	"hardnode.dev/agent/network/rate"
	"hardnode.dev/agent/network/wall"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
)

// Network is a host's network. Its methods may be called at once.
type Network struct {
	log     *slog.Logger
	loaded  func(context.Context) error
	ready   atomic.Bool // loaded has said yes
	meshKey atomic.Pointer[string]

	mu      sync.Mutex // one change at a time
	opened  bool
	mtu     int
	rules   string                     // what is programmed, as text
	public  map[netip.Addr]public.Link // that the host answers for; nil: nobody has looked yet
	limits  crowd.Limits               // of containers' connections; 0: not known yet
	unbound string
	crowded map[wire.CTID]bool // at the last look
	refused []Refusal
	taken   map[netip.Addr]other // public addresses that other machines have
	wall    *wall.Wall           // by which connections were looked at last
	threads *bool                // of the mesh's peers: what the kernel was told last
}

// New prepares nothing: Apply and Attach do what they need. loaded waits for the kernel modules this package needs and says why one is not
// there; nil: they are.
func New(loaded func(context.Context) error, log *slog.Logger) *Network {
	n := &Network{loaded: loaded, log: logging.Or(log), taken: map[netip.Addr]other{}}
	n.ready.Store(loaded == nil)
	return n
}

// MeshKey is this boot's WireGuard public key; empty until the first Apply has succeeded that far. It never waits.
func (n *Network) MeshKey() string {
	if key := n.meshKey.Load(); key != nil {
		return *key
	}
	return ""
}

// modules waits until the kernel modules are there, once.
func (n *Network) modules(ctx context.Context) error {
	if n.ready.Load() {
		return nil
	}
	if err := n.loaded(ctx); err != nil {
		return fmt.Errorf("kernel modules of the network: %w", err)
	}
	n.ready.Store(true)
	return nil
}

// hostSysctls are set once: a host forwards for its containers and accepts no advice from the wire.
var hostSysctls = []struct{ path, value, reason string }{
	{"ipv4/ip_forward", "1", "containers are routed"},
	{"ipv6/conf/all/forwarding", "1", "likewise"},
	{"ipv4/conf/all/send_redirects", "0", "containers' next hop is right as it is"},
	{"ipv4/conf/all/accept_redirects", "0", "nobody on the wire changes routes"},
	{"ipv6/conf/all/accept_redirects", "0", "likewise"},
	{"ipv4/conf/all/accept_source_route", "0", "likewise"},
	{"ipv4/conf/all/rp_filter", "0", "the mesh is asymmetric on purpose; spoofing is stopped by nftables, veths have their own filter"},
	{"ipv4/neigh/default/gc_thresh3", "8192", "one neighbour a container"},
	{"ipv6/neigh/default/gc_thresh3", "8192", "likewise"},
}

// open makes what all of it needs, once, and has the mesh follow the underlay's MTU.
func (n *Network) open(underlay []netip.Addr) error {
	mtu := linkMTU(underlay) - mesh.Overhead
	if n.opened && mtu == n.mtu {
		return nil
	}
	for _, s := range hostSysctls {
		if err := sysctl(s.path, s.value); err != nil && !errors.Is(err, fs.ErrNotExist) { // neigh/ is there in the first namespace only
			return err
		}
	}
	if err := sizeConnections("/proc", "/sys"); err != nil && !n.opened {
		n.log.Warn("network", logging.Err, err)
	}
	key, err := mesh.Open(mtu)
	if err != nil {
		return err
	}
	n.mtu, n.opened = mtu, true
	n.meshKey.Store(&key)
	n.log.Info("mesh is open", "key", key, "mtu", mtu)
	return nil
}

// linkMTU is the smallest MTU of the links that carry one of the addresses; 1500 if none does yet. It asks for all addresses at once: each
// container's link has some.
func linkMTU(addrs []netip.Addr) int {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return 1500
	}
	least := 0
	for _, a := range all {
		if got, _ := netip.AddrFromSlice(a.IP); !slices.Contains(addrs, got.Unmap()) {
			continue
		}
		if l, err := netlink.LinkByIndex(a.LinkIndex); err == nil && (least == 0 || l.Attrs().MTU < least) {
			least = l.Attrs().MTU
		}
	}
	return cmp.Or(least, 1500)
}

// Apply makes the kernel match s: rules first (nothing is open that should not be), then the mesh, the routes, and last what is left over
// of veths that no endpoint names. It is idempotent and cheap when nothing changed; every part is tried even if another fails, or a module
// is missing. The first one of a boot waits for the modules.
func (n *Network) Apply(ctx context.Context, s State) error {
	missing := n.modules(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	s, h, at, unseen := n.place(ctx, s)
	errs := []error{missing, unseen, n.program(rules(s))}
	if err := n.open(s.Addrs); err != nil {
		return errors.Join(append(errs, err)...)
	}
	n.bound()
	made := mesh.Apply(s.Self, s.Peers)
	if made == nil {
		n.thread(mesh.Peers(s.Self, s.Peers))
	}
	errs = append(errs, made, applyRoutes(s.routes()), n.answerFor(h, at), n.sweep(s),
		rate.Apply(s.rates(), ofContainer))
	return errors.Join(errs...)
}

// thread has the mesh use threads, if that suits so many peers. A kernel that can't is told once.
func (n *Network) thread(peers int) {
	on := mesh.Threaded(peers)
	if peers == 0 || n.threads != nil && *n.threads == on {
		return
	}
	if err := mesh.Thread(on); err != nil {
		n.log.Warn("the mesh is slower than it could be", logging.Err, err)
	}
	n.threads = &on
}

// program puts the rules in force, and then ends what they don't allow any more.
func (n *Network) program(r *nft.Ruleset, w *wall.Wall) error {
	text := r.String()
	if text == n.rules {
		if there, err := nft.Programmed(); err != nil || there {
			return err
		}
	}
	if err := nft.Program(r); err != nil {
		n.rules = ""
		return err
	}
	n.log.Info("firewall set", "sets", r.Sets(), "chains", r.Chains())
	n.rules = text
	if w.Narrower(n.wall) {
		ended, err := end(w)
		if ended > 0 {
			n.log.Info("connections ended", "connections", ended, logging.Reason, "the firewall does not allow them any more")
		}
		if err != nil { // a kernel without nf_conntrack_netlink: the rules hold for what begins
			n.log.Warn("firewall", logging.Err, err)
			return nil
		}
	}
	n.wall = w
	return nil
}

// sweep removes veths of containers that are gone.
func (n *Network) sweep(s State) error {
	have, err := veths()
	if err != nil {
		return err
	}
	for _, e := range s.Endpoints {
		delete(have, e.Link())
	}
	var errs []error
	for name := range have {
		n.log.Info("leftover removed", "link", name, logging.Reason, "no container here has it")
		errs = append(errs, detach(name))
	}
	return errors.Join(errs...)
}

// Attach connects a container that is being started. Apply must have succeeded before. undo is for a start that fails later.
func (n *Network) Attach(_ context.Context, e Endpoint, ns *os.File) (undo func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.opened {
		return nil, fmt.Errorf("connect container %d: the host's network is not ready yet", e.CTID)
	}
	undo, err = attach(e, ns, n.mtu)
	if err == nil && e.Rate != (rate.Rate{}) {
		name := e.Link()
		if err = rate.Apply(map[string]rate.Rate{name: e.Rate}, func(link string) bool { return link == name }); err != nil {
			undo()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect container %d: %w", e.CTID, err)
	}
	return undo, nil
}

// Repair connects a running container again whose veth is gone; one whose veth is there is left alone. open gives its namespace.
func (n *Network) Repair(e Endpoint, open func(wire.CTID) (*os.File, error)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := netlink.LinkByName(e.Link())
	var missing netlink.LinkNotFoundError
	if !n.opened || err == nil || !errors.As(err, &missing) {
		return nil
	}
	ns, err := open(e.CTID)
	if err != nil {
		return fmt.Errorf("reconnect container %d: %w", e.CTID, err)
	}
	defer ns.Close()
	if _, err := attach(e, ns, n.mtu); err != nil {
		return fmt.Errorf("reconnect container %d: %w", e.CTID, err)
	}
	n.log.Warn("container reconnected", logging.Container, e.CTID, logging.Reason, "its veth was gone")
	return nil
}
