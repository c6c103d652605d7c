package pxe

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

var pin = "sha256:" + strings.Repeat("0a", 32)

// shelf is the releases that were imported.
type shelf struct{ list []operator.Release }

func (s *shelf) List() operator.Releases {
	return operator.Releases{Releases: s.list, Image: wire.Digest(pin), Director: wire.Digest(pin)}
}

// made is one with what boots hosts of a target, but for the files named.
func made(v, target string, without ...string) operator.Release {
	r := operator.Release{Version: v}
	for i, name := range []string{"vmlinuz", "host.initrd", "cmdline", "infra.initrd"} {
		if strings.Contains(strings.Join(without, " "), name) {
			continue
		}
		digest := wire.Digest("sha256:" + strings.Repeat(string(rune('a'+i)), 64))
		r.Files = append(r.Files, operator.ReleaseFile{Path: v + "/" + target + "-" + name, Bytes: int64(i + 1), Digest: digest})
	}
	return r
}

func TestChoose(t *testing.T) {
	all := operator.Releases{Releases: []operator.Release{made("1.9.0", "metal"), made("1.10.0", "metal"), made("1.11.0", "vm"),
		made("1.12.0", "metal", "cmdline"), made("1.10.0-rc.1", "metal")}}
	for _, c := range []struct{ want, target, got, why string }{
		{"", "metal", "1.10.0", ""},
		{"", "vm", "1.11.0", ""},
		{"1.9.0", "metal", "1.9.0", ""},
		{"1.9.0", "vm", "", "release 1.9.0 was not imported, or has no kernel and initrd for vm"},
		{"1.12.0", "metal", "", "release 1.12.0 was not imported, or has no kernel and initrd for metal"},
		{"", "phone", "", "no release was imported that has kernel and initrd for phone"},
	} {
		r, why := choose(all, c.want, c.target)
		if r.Release != c.got || why != c.why {
			t.Errorf("%+v: got %q, %q", c, r.Release, why)
		}
		if c.got != "" && (r.Kernel.Bytes != 1 || r.Initrd.Bytes != 2 || r.Cmdline.Bytes != 3) {
			t.Errorf("%+v: the files are %+v", c, r)
		}
	}
}

// TestDesk: what is switched on is told to netboot, without a secret, as what the machines' own decoder takes.
func TestDesk(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{ID: "cl-0123456789abcdef", Infra: boot.InfraHost{Underlay: "10.77.0.2"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := &shelf{}
	d := &Desk{Store: s, Releases: r, Pin: pin, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	if _, on := d.Document(); on || d.Show().Enabled {
		t.Error("it is on at first")
	}
	in := operator.NewNetboot{Interface: "underlay", For: []string{"52-54-00-12-34-57", "52:54:00:12:34:56", "52:54:00:12:34:56"}}
	if err := d.Enable(t.Context(), "admin", in); err == nil || !strings.Contains(err.Error(), "no release was imported") {
		t.Errorf("without a release: %v", err)
	}
	r.list = []operator.Release{made("1.4.0", "metal")}
	if err := d.Enable(t.Context(), "admin", in); err != nil {
		t.Fatal(err)
	}
	doc, on := d.Document()
	if !on || doc.Validate() != nil || doc.Release != "1.4.0" || len(doc.For) != 2 || doc.For[0] != "52:54:00:12:34:56" || doc.All {
		t.Errorf("netboot is told %+v, %v", doc, doc.Validate())
	}
	c, err := document.HostConfig("hardnode.yaml", []byte(doc.Config))
	if err != nil || c.Join == nil || c.Join.CAPin != pin || c.Join.Endpoints[0] != "10.77.0.2:7444" || c.Join.Token != "" ||
		c.Role != host.RoleUser || c.Releases == nil || c.Releases.Image != wire.Digest(pin) || c.Releases.Director != wire.Digest(pin) {
		t.Errorf("the configuration is %+v, %v:\n%s", c, err, doc.Config)
	}
	gives := in
	gives.Addresses, gives.Router, gives.DNS = "10.77.0.100-10.77.0.150/24", "10.78.0.1", []string{"9.9.9.9"}
	err = d.Enable(t.Context(), "admin", gives)
	if err == nil || !strings.Contains(err.Error(), "router 10.78.0.1 is not in 10.77.0.0/24") {
		t.Errorf("a router of another network: %v", err)
	}
	gives.Router = "10.77.0.1"
	if err := d.Enable(t.Context(), "admin", gives); err != nil {
		t.Fatal(err)
	}
	if doc, _ := d.Document(); doc.Validate() != nil || doc.Router != "10.77.0.1" || len(doc.DNS) != 1 || d.Show().Router != "10.77.0.1" {
		t.Errorf("netboot is told %+v, %v", doc, doc.Validate())
	}
	r.list = append(r.list, made("1.5.0", "metal"))
	next, _ := d.Document()
	if next.Release != "1.5.0" || next.Sum == doc.Sum {
		t.Errorf("after another import: %s, sum %s, before %s", next.Release, next.Sum, doc.Sum)
	}
	host2, switched := store.Host{ID: "h-2", Name: "host-2", Hardware: host.Hardware{MACs: []string{"52:54:00:12:34:57", "no card"}}},
		host.System{Version: 1, Revision: 1, Release: "1.4.0", Step: host.Switch, Order: "1"}
	wish := func(sys host.System) host.Netboot {
		t.Helper()
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
			store.Hosts.Put(tx, "h-2", host2)
			store.Systems.Put(tx, "h-2", store.System{System: sys})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		doc, _ := d.Document()
		return doc
	}
	if next = wish(switched); len(next.Releases) != 2 || next.Validate() != nil {
		t.Errorf("with a host that is to run an older release: %+v", next)
	}
	for card, want := range map[string]string{"52:54:00:12:34:57": "1.4.0", "52:54:00:12:34:56": "1.5.0"} {
		if r, _, why := next.Boots(card); r.Release != want {
			t.Errorf("%s boots %q, %q, want %s", card, r.Release, why, want)
		}
	}
	switched.Release = "1.0.0"
	if _, _, why := wish(switched).Boots("52:54:00:12:34:57"); !strings.Contains(why, "host host-2, which is to run release 1.0.0") {
		t.Errorf("a host whose release is not here: %q", why)
	}
	switched.Step = host.Stage
	if next = wish(switched); len(next.Machines) != 0 {
		t.Errorf("a release that is staged only: %+v", next.Machines)
	}
	r.list = nil
	if next, _ = d.Document(); next.Release != "" || !strings.Contains(next.Reason, "no release") || next.Validate() != nil {
		t.Errorf("with none any more: %+v", next)
	}
	if err := d.Disable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, on := d.Document(); on {
		t.Error("it is still on")
	}
}
