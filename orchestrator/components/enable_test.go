package components

import (
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// TestEnable: a cluster without a Patcher gets one, once: of its host's medium or of a release, with a token of its own, whose text is in
// its configuration alone.
func TestEnable(t *testing.T) {
	p := newPlatform(t)
	p.Pin = "sha256:" + strings.Repeat("c", 64)
	enable := func(release string) error {
		return p.Enable(t.Context(), operator.NewComponent{Name: patch.Component, Release: release})
	}
	p.refused("before the infra host is there", enable(""), "the infra host has not joined yet")
	p.refused("no such release", enable("9.9.9"), "no such release was imported")
	p.refused("a release without one", enable("1.1.0"), "has no image of it")
	put := func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{ID: "cl-0123456789abcdef", Infra: boot.InfraHost{Underlay: "10.77.0.2",
			Block4: "10.96.0.0/24"}})
		store.Hosts.Put(tx, "h-000000000009", store.Host{ID: "h-000000000009", Role: host.RoleInfra})
		store.Tokens.Put(tx, "old", store.Token{ID: authz.PatcherID, Hash: "old"})
		return nil
	}
	if _, err := p.store.Update(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	p.put(store.Node{CTID: 3, Env: "jelastic", Host: "h-0", Container: host.Container{CTID: 3, Env: "jelastic", Component: orchestrator,
		IPv4: netip.MustParseAddr("10.96.0.13")}})
	for range 2 {
		if err := enable(""); err != nil {
			t.Fatal(err)
		}
	}
	n, there := store.Nodes.Get(p.store.View(), "5")
	c := n.Container
	if !there || n.Host != "h-000000000009" || c.IPv4 != netip.MustParseAddr("10.96.0.15") || c.Image.Name != "jelastic/patcher" ||
		c.Image.Digest != "" || len(c.Files) != 1 || c.Validate() != nil {
		t.Fatalf("the node is %+v, %v", n, c.Validate())
	}
	config, err := boot.DecodePatcherConfig(c.Files[0].Data.Reveal())
	if err != nil || strings.Join(config.API, " ") != "10.96.0.13:7443 10.77.0.2:7443" || config.CAPin != p.Pin {
		t.Errorf("its configuration is %+v, %v", config, err)
	}
	tokens := store.Tokens.All(p.store.View())
	if len(tokens) != 1 || tokens[0].Hash != authz.Hash(config.Token) || tokens[0].ID != authz.PatcherID ||
		len(tokens[0].Scopes) != 1 || tokens[0].Scopes[0] != string(authz.Patch) {
		t.Errorf("the tokens are %+v", tokens)
	}
	if strings.Contains(n.Placed+n.Why, string(config.Token)) || secret.Text(config.Token).String() == string(config.Token) {
		t.Error("the token's text is shown")
	}
}

// TestEnableMetering: it gets no token, asks at the host API, and is published nowhere.
func TestEnableMetering(t *testing.T) {
	p := newPlatform(t)
	p.Pin = "sha256:" + strings.Repeat("c", 64)
	p.refused("another one", p.Enable(t.Context(), operator.NewComponent{Name: "registry"}), "none that a cluster can be made without")
	if _, err := p.store.Update(t.Context(), func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{ID: "cl-0123456789abcdef", Infra: boot.InfraHost{Underlay: "10.77.0.2",
			Block4: "10.96.0.0/24"}})
		store.Hosts.Put(tx, "h-000000000009", store.Host{ID: "h-000000000009", Role: host.RoleInfra})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.put(store.Node{CTID: 3, Env: "jelastic", Host: "h-0", Container: host.Container{CTID: 3, Env: "jelastic", Component: orchestrator,
		IPv4: netip.MustParseAddr("10.96.0.13")}})
	p.refused("a release without one", p.Enable(t.Context(), operator.NewComponent{Name: metering.Component, Release: "1.1.0"}),
		"has no image of it")
	for range 2 {
		if err := p.Enable(t.Context(), operator.NewComponent{Name: metering.Component}); err != nil {
			t.Fatal(err)
		}
	}
	n, _ := store.Nodes.Get(p.store.View(), "9")
	c := n.Container
	if c.Component != metering.Component || c.IPv4 != netip.MustParseAddr("10.96.0.19") || len(c.Publish) != 0 || len(c.Files) != 1 ||
		c.Validate() != nil || c.Check.Port != 7450 || c.Image.Name != "jelastic/metering" || c.Volumes[0].Path != "/data" {
		t.Fatalf("the node is %+v, %v", n, c.Validate())
	}
	config, err := boot.DecodeMeteringConfig(c.Files[0].Data.Reveal())
	if err != nil || strings.Join(config.Orchestrator, " ") != "10.96.0.13:7444 10.77.0.2:7444" || config.CAPin != p.Pin {
		t.Errorf("its configuration is %+v, %v", config, err)
	}
	if tokens := store.Tokens.All(p.store.View()); len(tokens) != 0 {
		t.Errorf("the tokens are %+v", tokens)
	}
}
