package day0

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/patch"
)

// component is one row of the environment "jelastic" as it first is, in the order of start.
type component struct {
	ctid      wire.CTID
	name      string
	argv      []string
	cloudlets wire.Cloudlets
	volume    int64 // bytes of /data
	publish   []host.Port
	check     uint16
}

const gib = int64(1) << 30

var components = []component{
	{1, "registry", []string{"/registry"}, wire.Cloudlets{Reserved: 1, Dynamic: 8}, 16 * gib, tcp(7445), 7445},
	{2, "jls", []string{"/jls", "serve"}, wire.Cloudlets{Reserved: 1, Dynamic: 4}, 1 * gib, tcp(7446), 7446},
	{3, "orchestrator", []string{"/orchestrator"}, wire.Cloudlets{Reserved: 2, Dynamic: 12}, 4 * gib, tcp(7443, 7444), 7443},
	{4, "resolver", []string{"/resolver"}, wire.Cloudlets{Reserved: 1, Dynamic: 8}, 1 * gib, tcp(80, 443), 80},
	{5, patch.Component, []string{"/patcher"}, wire.Cloudlets{Reserved: 1, Dynamic: 4}, 1 * gib, tcp(7447), 7447},
}

func tcp(ports ...uint16) (out []host.Port) {
	for _, p := range ports {
		out = append(out, host.Port{Proto: "tcp", Host: p, Container: p})
	}
	return out
}

// work is the first Work. The orchestrator's seed is not in it yet: it contains this Work.
func (c cluster) work() (host.Work, error) {
	w := host.Work{Version: host.WorkVersion, Revision: 1}
	for _, p := range components {
		if p.name == "jls" && c.JLSConfig == nil {
			continue // it runs elsewhere
		}
		files, err := c.filesOf(p.name)
		if err != nil {
			return w, err
		}
		argv := append(slices.Clone(p.argv), c.Args[p.name]...)
		image, process := host.Image{Name: wire.TemplateName("jelastic/" + p.name)}, host.Process{Argv: argv}
		if len(c.Images) > 0 {
			found := false
			for _, i := range c.Images {
				if i.Name == image.Name {
					image, process, found = i.Image, i.Process, true
					process.Argv = argv
				}
			}
			if !found && p.name == patch.Component {
				continue // the medium is of before there was one
			}
			if !found {
				return w, fmt.Errorf("image index: it has no %q", image.Name)
			}
		}
		w.Containers = append(w.Containers, host.Container{
			CTID: p.ctid, Env: "jelastic", Account: wire.AdminAccount, Layer: wire.LayerName(p.name), Hostname: p.name, Generation: 1,
			Run: true, Component: p.name,
			Image: image, Process: process, Profile: host.ProfileApp, Limits: limits(p.cloudlets),
			IPv4: address4(p.ctid), IPv6: c.address6(p.ctid),
			Volumes: []host.Volume{{Name: "data", Path: "/data", Bytes: p.volume}}, Files: files, Publish: p.publish,
			Check: &host.Check{Port: p.check},
		})
	}
	return w, nil
}

// limits of a component; its own layer holds next to nothing, data go to the volume.
func limits(c wire.Cloudlets) host.Limits {
	limit := int64(c.Dynamic) * wire.CloudletBytes
	return host.Limits{
		MemoryMin: int64(c.Reserved) * wire.CloudletBytes, MemoryHigh: limit - limit/16, MemoryMax: limit,
		CPUWeight: 100 * c.Reserved, CPUMHz: int64(c.Dynamic) * wire.CloudletMHz, PIDs: 1024, DiskBytes: gib,
	}
}

// filesOf are the configuration files of one component.
func (c cluster) filesOf(name string) ([]host.File, error) {
	pin := identity.Pin(c.root.Cert)
	switch name {
	case "registry":
		return file(boot.RegistryConfigFile,
			boot.RegistryConfig{Version: 1, Cluster: c.id, CAPin: pin, PushToken: "sha256:" + identity.HashToken(c.push)})
	case "resolver":
		return file(boot.ResolverConfigFile,
			boot.ResolverConfig{Version: 1, Cluster: c.id, CAPin: pin, Orchestrator: c.hostAPI(), TrustedProxies: c.TrustedProxies,
				ProxyProtocol: c.ProxyProtocol})
	case patch.Component:
		return file(boot.PatcherConfigFile, boot.PatcherConfig{Version: 1, Cluster: c.id, CAPin: pin, API: c.api(), Token: c.patcher})
	case "jls":
		return []host.File{{Path: jls.ConfigFile, Mode: 0o400, Data: secret.Bytes(c.JLSConfig)}}, nil
	}
	return nil, nil
}

func file(path string, v any) ([]host.File, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %v", path, err)
	}
	return []host.File{{Path: path, Mode: 0o400, Data: raw}}, nil
}

// hostAPI is where machines and components on the infra host itself reach the orchestrator: its own address first, since that needs
// no translation.
func (c cluster) hostAPI() []string {
	return []string{net.JoinHostPort(address4(3).String(), hostPort), net.JoinHostPort(c.Infra.String(), hostPort)}
}

// api is likewise where they reach what people use.
func (c cluster) api() []string {
	return []string{net.JoinHostPort(address4(3).String(), apiPort), net.JoinHostPort(c.Infra.String(), apiPort)}
}

// names are what the certificates of what the infra host publishes must carry for people's tools.
func (c cluster) names() []string {
	out, seen := []string{}, map[string]bool{"": true}
	registry, _, _ := net.SplitHostPort(c.ExternalRegistry)
	jls, _, _ := net.SplitHostPort(c.ExternalJLS)
	for _, n := range []string{c.apiHost, c.Infra.String(), address4(3).String(), "127.0.0.1", "localhost", "panel." + c.Domain,
		"registry." + c.Domain, c.Domain, registry, jls} {
		if !seen[n] {
			out, seen[n] = append(out, n), true
		}
	}
	return out
}

func (c cluster) names4() map[string]string {
	out := map[string]string{}
	for _, p := range components {
		if p.name != "jls" || c.JLSConfig != nil {
			out[p.name] = address4(p.ctid).String()
		}
	}
	return out
}

// address4 is a component's address: block 0 is the infra host's.
func address4(ctid wire.CTID) netip.Addr {
	a := block4(0).Addr().As4()
	a[3] = byte(10 + ctid)
	return netip.AddrFrom4(a)
}

// block4 is host number n's part of the container range.
func block4(n int) netip.Prefix {
	a := range4.Addr().As4()
	a[1] += byte(n >> 8)
	a[2] = byte(n)
	return netip.PrefixFrom(netip.AddrFrom4(a), 24)
}

// prefix6 is the cluster's IPv6 range (bits 48) or host number n's block of it (bits 64): fd48:4e00 ("HN") and 16 bits of the cluster's id.
func (c cluster) prefix6(bits, n int) netip.Prefix {
	id, err := hex.DecodeString(strings.TrimPrefix(string(c.id), "cl-"))
	if err != nil {
		panic("BUG: cluster id " + string(c.id))
	}
	a := [16]byte{0xfd, 0x48, 0x4e, 0x00, id[0], id[1], byte(n >> 8), byte(n)}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

func (c cluster) address6(ctid wire.CTID) netip.Addr {
	a := c.prefix6(64, 0).Addr().As16()
	a[15] = byte(10 + ctid)
	return netip.AddrFrom16(a)
}

// InternalJLS is where a JLS on the infra host is reached by the orchestrator beside it.
func InternalJLS() string { return net.JoinHostPort(address4(2).String(), jlsPort) }

func isDomain(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for _, l := range strings.Split(s, ".") {
		if wire.Label("domain", l, 63) != nil {
			return false
		}
	}
	return true
}
