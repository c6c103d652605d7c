package boot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/host"
)

var (
	linkName  = form.New(`^[a-z][a-z0-9._-]{0,14}$`)
	pciPath   = form.New(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	tokenForm = form.New(`^hn1\.[0-9a-f]{8}\.[0-9a-f]{32}$`)
	// of a kept password; what it may cost is checked where it is compared
	passwordForm = form.New(`^\$argon2id\$v=19\$m=[1-9][0-9]{3,4},t=[1-9][0-9]?,p=[1-4]\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
)

// Validate says which field is wrong and what it should be, or nil.
func (c HostConfig) Validate() error {
	if c.Version != 1 {
		return fmt.Errorf("version: %d is not known, want 1", c.Version)
	}
	// A document that many machines are given names none of them: whoever admits one gives it its name.
	if waits := c.Join != nil && c.Join.Token == ""; c.Name != "" || !waits {
		if err := wire.Label("name", c.Name, 63); err != nil {
			return err
		}
	}
	switch c.Role {
	case host.RoleUser, host.RoleInfra, host.RoleHypervisor:
	default:
		return fmt.Errorf("role: %q is not known, use user, infra or hypervisor", c.Role)
	}
	if c.Join != nil {
		if err := c.Join.validate(); err != nil {
			return fmt.Errorf("join.%w", err)
		}
	}
	if err := c.Network.Validate(); err != nil {
		return fmt.Errorf("network.%w", err)
	}
	if p := c.Console.Password; p != "" && !passwordForm.MatchString(p.Reveal()) {
		return errors.New("console.password: is no kept password: want what `hnctl host config password` prints, never the password itself")
	}
	if c.Log != nil {
		if err := c.Log.validate(); err != nil {
			return fmt.Errorf("log.%w", err)
		}
	}
	if c.Install != nil {
		if err := c.Install.Validate(); err != nil {
			return fmt.Errorf("install.%w", err)
		}
		if c.Storage.Data != "" && c.Storage.Data != "auto" {
			return fmt.Errorf("storage.data: %q: leave it out beside install, which makes DATA on the disk it installs to", c.Storage.Data)
		}
	}
	return c.Storage.validate()
}

func (j Join) validate() error {
	if err := wire.ClusterID(j.Cluster).Validate(); err != nil {
		return fmt.Errorf("cluster: %v", err)
	}
	if len(j.Endpoints) == 0 {
		return fmt.Errorf("endpoints: is empty, name at least one host:port of the orchestrator")
	}
	for i, e := range j.Endpoints {
		if h, p, err := net.SplitHostPort(e); err != nil || h == "" || p == "" {
			return fmt.Errorf("endpoints[%d]: %q: want host:port", i, e)
		}
	}
	if wire.Digest(j.CAPin).Validate() != nil {
		return fmt.Errorf("caPin: %q: want sha256: and 64 hex digits, as `hnctl cluster init` prints it", j.CAPin)
	}
	if j.Token != "" && !tokenForm.MatchString(j.Token.Reveal()) {
		return fmt.Errorf("token: is no join token: want hn1., 8 hex digits, a dot, 32 hex digits")
	}
	return nil
}

// Validate says which field is wrong and what it should be, or nil.
func (n Network) Validate() error {
	names := map[string]bool{}
	for i, l := range n.Links {
		if err := l.validate(); err != nil {
			return fmt.Errorf("links[%d].%w", i, err)
		}
		if names[l.Name] {
			return fmt.Errorf("links[%d].name: %q is there twice", i, l.Name)
		}
		names[l.Name] = true
	}
	if n.Underlay != "" && !names[n.Underlay] {
		return fmt.Errorf("underlay: there is no link %q", n.Underlay)
	}
	return nil
}

func (l Link) validate() error {
	if !linkName.MatchString(l.Name) || l.Name == "lo" {
		return fmt.Errorf("name: %q: want at most 15 lower-case letters, digits, dots and hyphens, starting with a letter", l.Name)
	}
	if (l.MAC == "") == (l.PCI == "") {
		return fmt.Errorf("mac: link %s: give either mac or pci", l.Name)
	}
	if hw, err := net.ParseMAC(l.MAC); l.MAC != "" && (err != nil || len(hw) != 6) {
		return fmt.Errorf("mac: %q: want six bytes such as 52:54:00:12:34:56", l.MAC)
	}
	if l.PCI != "" && !pciPath.MatchString(l.PCI) {
		return fmt.Errorf("pci: %q: want a path such as 0000:00:03.0", l.PCI)
	}
	if !l.DHCP && len(l.Addresses) == 0 {
		return fmt.Errorf("addresses: link %s has none: give addresses, or dhcp: true", l.Name)
	}
	for i, a := range l.Addresses {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			return fmt.Errorf("addresses[%d]: %s is no address of a link", i, a)
		}
	}
	if l.Gateway.IsValid() && !onLink(l.Gateway, l.Addresses) {
		return fmt.Errorf("gateway: %s is not on a network of link %s", l.Gateway, l.Name)
	}
	if l.MTU != 0 && (l.MTU < 1280 || l.MTU > 9216) {
		return fmt.Errorf("mtu: %d: want 1280 to 9216, or 0 for the driver's", l.MTU)
	}
	return nil
}

func onLink(gateway netip.Addr, addrs []netip.Prefix) bool {
	if gateway.IsLinkLocalUnicast() {
		return true
	}
	for _, a := range addrs {
		if a.Contains(gateway) {
			return true
		}
	}
	return false
}

func (s Storage) validate() error {
	if s.Data != "" && s.Data != "auto" && s.Data != "none" && !strings.HasPrefix(s.Data, "/dev/") {
		return fmt.Errorf("storage.data: %q: want a device such as /dev/vda, auto, or none", s.Data)
	}
	if s.Wipe != "" && s.Wipe != s.Data {
		return fmt.Errorf("storage.wipe: %q: must name the same device as data, which is %q", s.Wipe, s.Data)
	}
	return nil
}
