package host

import (
	"fmt"
	"io"
	"net/netip"
	"path"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/address"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/mount"
)

// DecodeAssignment reads an Assignment and checks all that this version knows of it.
func DecodeAssignment(r io.Reader) (Assignment, error) {
	var a Assignment
	if err := decode(r, "assignment", &a); err != nil {
		return Assignment{}, err
	}
	if a.Work != nil {
		if err := a.Work.Validate(); err != nil {
			return Assignment{}, err
		}
	}
	if a.Peers != nil {
		if err := a.Peers.Validate(); err != nil {
			return Assignment{}, err
		}
	}
	if a.PeersChange != nil {
		if err := a.PeersChange.Validate(); err != nil {
			return Assignment{}, err
		}
	}
	if a.Names != nil {
		if err := a.Names.Validate(); err != nil {
			return Assignment{}, err
		}
	}
	if a.System != nil {
		if err := a.System.Validate(); err != nil {
			return Assignment{}, err
		}
	}
	return a, nil
}

// Validate says which part of the work is wrong, or nil. CTIDs and addresses are unique.
func (w *Work) Validate() error {
	if w.Version != WorkVersion {
		return fmt.Errorf("work: version %d is not known, want %d", w.Version, WorkVersion)
	}
	if w.Revision < 0 {
		return fmt.Errorf("work: revision %d is negative", w.Revision)
	}
	ids, addrs := map[wire.CTID]bool{}, map[netip.Addr]wire.CTID{}
	for i, c := range w.Containers {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("work: containers[%d]: %w", i, err)
		}
		if ids[c.CTID] {
			return fmt.Errorf("work: containers[%d]: container %d is there twice", i, c.CTID)
		}
		ids[c.CTID] = true
		for _, a := range append([]netip.Addr{c.IPv4, c.IPv6}, c.Addresses...) {
			if other, ok := addrs[a]; ok && a.IsValid() {
				return fmt.Errorf("work: container %d: address %s belongs to container %d", c.CTID, a, other)
			}
			addrs[a] = c.CTID
		}
	}
	return nil
}

// Validate says why c can't be run as it is written, or nil. Paths of files and volumes stay inside the container.
func (c Container) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("container %d: %s", c.CTID, fmt.Sprintf(format, args...))
	}
	switch {
	case c.CTID < 1:
		return fail("its number is not positive")
	case c.Env.Validate() != nil:
		return fail("%v", c.Env.Validate())
	case c.Account.ValidateGiven() != nil:
		return fail("%v", c.Account.ValidateGiven())
	case (c.CTID < wire.FirstUserCTID) != (c.Env == "jelastic"):
		return fail("numbers below %d belong to the environment jelastic, and no others (it is in %q)", wire.FirstUserCTID, c.Env)
	case wire.Label("hostname", c.Hostname, 63) != nil:
		return fail("%v", wire.Label("hostname", c.Hostname, 63))
	case c.Generation < 1:
		return fail("generation %d is not positive", c.Generation)
	case c.Image.Digest != "" && c.Image.Digest.Validate() != nil:
		return fail("image: %v", c.Image.Digest.Validate())
	case c.Image.validateIDs() != nil:
		return fail("%v", c.Image.validateIDs())
	case c.Image.Digest == "" && c.Env != "jelastic":
		return fail("image %q has no digest", c.Image.Name)
	case c.Profile != ProfileApp && c.Profile != ProfileSystem:
		return fail("profile %q is not known, use app or system", c.Profile)
	case !c.IPv4.Is4():
		return fail("address %q is no IPv4 address", c.IPv4)
	case c.IPv6.IsValid() && !c.IPv6.Is6():
		return fail("address %q is no IPv6 address", c.IPv6)
	case c.Profile == ProfileApp && len(c.Process.Argv) == 0 && c.Image.Digest != "":
		return fail("process has no program")
	case len(c.Process.Groups) > MaxGroups:
		return fail("process has %d supplementary groups, at most %d are allowed", len(c.Process.Groups), MaxGroups)
	case len(c.Publish) > 0 && c.Env != "jelastic":
		return fail("only containers of jelastic publish ports on the host")
	case c.validatePorts() != nil:
		return fail("%v", c.validatePorts())
	case len(c.Addresses) > 0 && c.Env == "jelastic":
		return fail("containers of jelastic have no public addresses of their own")
	case address.Validate(c.Addresses) != nil:
		return fail("public addresses: %v", address.Validate(c.Addresses))
	case len(c.Firewall) > 0 && c.Env == "jelastic":
		return fail("containers of jelastic have no firewall of their own")
	case firewall.Validate(c.Firewall, 2*firewall.MaxRules) != nil:
		return fail("firewall: %v", firewall.Validate(c.Firewall, 2*firewall.MaxRules))
	case mount.Validate(c.CTID, c.Mounts) != nil:
		return fail("%v", mount.Validate(c.CTID, c.Mounts))
	case mount.ValidateShares(c.CTID, c.Shares) != nil:
		return fail("%v", mount.ValidateShares(c.CTID, c.Shares))
	case c.Snapshots.Validate() != nil:
		return fail("%v", c.Snapshots.Validate())
	case c.Move.Validate() != nil:
		return fail("%v", c.Move.Validate())
	case c.Move != nil && c.Env == "jelastic":
		return fail("containers of jelastic do not move")
	case c.validateFormers() != nil:
		return fail("%v", c.validateFormers())
	case c.validateSockets() != nil:
		return fail("%v", c.validateSockets())
	}
	names := map[string]bool{}
	for _, v := range c.Volumes {
		if err := wire.Label("volume", v.Name, 40); err != nil {
			return fail("%v", err)
		}
		if names[v.Name] || !clean(v.Path) || v.Path == "/" {
			return fail("volume %q: is there twice, or its path %q is not an absolute, clean one", v.Name, v.Path)
		}
		if v.Bytes < 0 {
			return fail("volume %q: %d bytes are negative; 0 is no limit", v.Name, v.Bytes)
		}
		names[v.Name] = true
	}
	if len(c.Dropped) > MaxDropped {
		return fail("%d dropped volumes, at most %d are taken", len(c.Dropped), MaxDropped)
	}
	for _, name := range c.Dropped {
		if err := wire.Label("dropped volume", name, 40); err != nil {
			return fail("%v", err)
		}
		if names[name] {
			return fail("volume %q is dropped, and there", name)
		}
	}
	for _, f := range c.Files {
		if !clean(f.Path) || !strings.HasPrefix(f.Path, "/run/hardnode/") || f.Mode&^0o777 != 0 {
			return fail("file %q: want a clean path below /run/hardnode/ and permission bits only", f.Path)
		}
	}
	for _, p := range c.Publish {
		if p.Proto != "tcp" && p.Proto != "udp" || p.Host == 0 || p.Container == 0 {
			return fail("published port %d to %d/%s: want tcp or udp and two port numbers", p.Host, p.Container, p.Proto)
		}
	}
	if c.Check != nil && (c.Check.Port == 0 || c.Check.Path != "" && !strings.HasPrefix(c.Check.Path, "/")) {
		return fail("check: want a port, and a path that starts with /")
	}
	return nil
}

// Validate says which peer or key is wrong, or nil.
func (p *Peers) Validate() error {
	if p.Version != PeersVersion {
		return fmt.Errorf("peers: version %d is not known, want %d", p.Version, PeersVersion)
	}
	if p.Revision < 0 || !p.Range4.IsValid() || !p.Range4.Addr().Is4() || p.Range6.IsValid() && !p.Range6.Addr().Is6() {
		return fmt.Errorf("peers: revision %d, ranges %s and %s: want a revision, an IPv4 range and perhaps an IPv6 range", p.Revision,
			p.Range4, p.Range6)
	}
	ids := map[wire.HostID]bool{}
	for i, h := range p.Hosts {
		if err := h.ID.Validate(); err != nil || ids[h.ID] {
			return fmt.Errorf("peers: hosts[%d] (%s): is no host id or is there twice", i, h.ID)
		}
		ids[h.ID] = true
		if len(h.Identity) != 32 {
			return fmt.Errorf("peers: host %s: its identity key has %d bytes, want 32", h.ID, len(h.Identity))
		}
		if len(h.Addrs) > MaxAddrs {
			return fmt.Errorf("peers: host %s: it has %d addresses, at most %d are allowed", h.ID, len(h.Addrs), MaxAddrs)
		}
		for _, a := range h.Addrs {
			if !HostAddr(a) || p.Range4.Contains(a) || p.Range6.Contains(a) {
				return fmt.Errorf("peers: host %s: %s is no address of a host", h.ID, a)
			}
		}
		for _, b := range append(append([]netip.Prefix{}, h.Blocks...), h.Moved...) {
			if !b.IsValid() || b != b.Masked() || !inside(b, p.Range4) && !inside(b, p.Range6) {
				return fmt.Errorf("peers: host %s: block %s is not inside %s or %s", h.ID, b, p.Range4, p.Range6)
			}
		}
	}
	for _, k := range append(p.Gossip.Accept, p.Gossip.Use) {
		if len(k) != 32 && len(k) != 0 {
			return fmt.Errorf("peers: a gossip key has %d bytes, want 32", len(k))
		}
	}
	for i, n := range p.Names {
		if !IsDomain(n.Name) || !strings.HasSuffix(n.Name, ".internal") {
			return fmt.Errorf("peers: names[%d] %q: is no name below internal", i, n.Name)
		}
	}
	return nil
}

func clean(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

func inside(b, in netip.Prefix) bool {
	return in.IsValid() && b.Bits() >= in.Bits() && in.Contains(b.Addr())
}
