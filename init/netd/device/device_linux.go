package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/boot"
)

// monitor is how often, in milliseconds, a bond looks at its cards' lines.
const monitor = 100

const sysfs = "/sys/class/net"

// List is every bond and VLAN that the kernel has.
func List() ([]Device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	bonds := map[int]string{}
	for _, l := range links {
		if b, is := l.(*netlink.Bond); is {
			bonds[b.Index] = b.Name
		}
	}
	var all []Device
	for _, l := range links {
		switch l := l.(type) {
		case *netlink.Bond:
			d := Device{Name: l.Name, Bond: boot.BondMode(l.Mode.String())}
			for _, p := range links {
				if p.Attrs().MasterIndex == l.Index {
					d.Ports = append(d.Ports, p.Attrs().Index)
				}
			}
			if raw, err := os.ReadFile(filepath.Join(sysfs, l.Name, "bonding/primary")); err == nil {
				d.Primary = strings.TrimSpace(string(raw))
			}
			all = append(all, d)
		case *netlink.Vlan:
			d := Device{Name: l.Name, VLAN: l.VlanId, Below: bonds[l.ParentIndex]}
			if d.Below == "" {
				d.Card = l.ParentIndex
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// Run runs one step. load loads a kernel module: the kernel can't ask for it.
func (o Op) Run(load func(name, params string) error) error {
	var err error
	switch o.Do {
	case Remove:
		err = remove(o.Device.Name)
	case Release:
		err = release(o.Card)
	case Make:
		err = o.Device.make(load)
	case Attach:
		err = o.Device.attach(o.Card)
	case Prefer:
		err = os.WriteFile(filepath.Join(sysfs, o.Device.Name, "bonding/primary"), []byte(o.Device.Primary+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("%s %s (%s): %w", o.Do, o.Device.Name, o.Reason, err)
	}
	return nil
}

func remove(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}

func release(card int) error {
	l, err := netlink.LinkByIndex(card)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil // pulled out
	}
	if err != nil {
		return err
	}
	return netlink.LinkSetNoMaster(l)
}

func (d Device) make(load func(name, params string) error) error {
	if d.Bond != "" {
		if err := load("bonding", "max_bonds=0"); err != nil {
			return err
		}
		b := netlink.NewLinkBond(netlink.LinkAttrs{Name: d.Name})
		b.Mode, b.Miimon = netlink.StringToBondMode(string(d.Bond)), monitor
		if d.Bond == boot.LACP {
			// frames of one connection stay in order on one card; the switch's word each second, so that a dead one is known in three
			b.XmitHashPolicy, b.LacpRate = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4, netlink.BOND_LACP_RATE_FAST
		}
		return netlink.LinkAdd(b)
	}
	if err := load("8021q", ""); err != nil {
		return err
	}
	below := d.Card
	if below == 0 {
		l, err := netlink.LinkByName(d.Below)
		if err != nil {
			return err
		}
		below = l.Attrs().Index
	}
	return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: d.Name, ParentIndex: below}, VlanId: d.VLAN})
}

// attach puts a card into the bond. It must be down for that, and has no addresses of its own from then on.
func (d Device) attach(card int) error {
	bond, err := netlink.LinkByName(d.Name)
	if err != nil {
		return err
	}
	l, err := netlink.LinkByIndex(card)
	if err != nil {
		return err
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := netlink.AddrDel(l, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take address %s away from %s: %w", a.IPNet, l.Attrs().Name, err)
		}
	}
	if err := netlink.LinkSetDown(l); err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(l, bond); err != nil {
		return fmt.Errorf("card %s: %w", l.Attrs().Name, err)
	}
	return netlink.LinkSetUp(l)
}

// State is a bond in one line for people; "" is no bond.
func State(name string) string {
	mode, err := os.ReadFile(filepath.Join(sysfs, name, "bonding/mode"))
	if err != nil {
		return ""
	}
	active, _ := os.ReadFile(filepath.Join(sysfs, name, "bonding/active_slave")) // LACP has none
	ports, _ := os.ReadFile(filepath.Join(sysfs, name, "bonding/slaves"))
	var lines []string
	for _, p := range strings.Fields(string(ports)) {
		mii, _ := os.ReadFile(filepath.Join(sysfs, p, "bonding_slave/mii_status"))
		state := strings.TrimSpace(string(mii))
		if p == strings.TrimSpace(string(active)) {
			state = "active"
		}
		lines = append(lines, p+" "+state)
	}
	slices.Sort(lines)
	if len(lines) == 0 {
		lines = []string{"no card"}
	}
	kind, _, _ := strings.Cut(string(mode), " ")
	return strings.TrimSpace(kind) + ": " + strings.Join(lines, ", ")
}
