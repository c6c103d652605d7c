package components

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"slices"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// The ports of the orchestrator: the API and the host API.
const (
	apiPort   = "7443"
	hostsPort = "7444"
)

// optional are the components that a cluster may have been made without, as they are then; the Patcher as Day 0 makes it.
var optional = map[string]struct {
	ctid      wire.CTID
	cloudlets wire.Cloudlets
	volume    int64  // bytes, at /data
	port      uint16 // that answers when it serves
	publish   bool   // on the infra host's own addresses
	file      string
	config    func(cluster store.Cluster, pin string, token secret.Text, at func(port string) []string) any
}{
	patch.Component: {5, wire.Cloudlets{Reserved: 1, Dynamic: 4}, 1 << 30, 7447, true, boot.PatcherConfigFile,
		func(c store.Cluster, pin string, token secret.Text, at func(string) []string) any {
			return boot.PatcherConfig{Version: 1, Cluster: c.ID, CAPin: pin, Token: token, API: at(apiPort)}
		}},
	// It needs next to nothing: a year of a thousand nodes is some 1.5 GiB.
	metering.Component: {9, wire.Cloudlets{Reserved: 0, Dynamic: 4}, 4 << 30, 7450, false, boot.MeteringConfigFile,
		func(c store.Cluster, pin string, _ secret.Text, at func(string) []string) any {
			return boot.MeteringConfig{Version: 1, Cluster: c.ID, CAPin: pin, Orchestrator: at(hostsPort)}
		}},
}

// Enable gives a cluster a component that it was made without; the Patcher gets a token of its own. One that is there stays as it is. Its
// image is a release's, or, where none is named, that of the infra host's boot medium.
func (d *Desk) Enable(ctx context.Context, in operator.NewComponent) error {
	if _, known := optional[in.Name]; !known {
		return operator.NewProblem(operator.Invalid, "components/"+in.Name, "it is none that a cluster can be made without",
			"see hnctl patch components")
	}
	image, process := host.Image{Name: imageOf(in.Name)}, host.Process{}
	if in.Release != "" {
		m, err := d.manifest(in.Release)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(m.Components, func(c boot.BundledImage) bool { return c.Name == image.Name })
		if i < 0 {
			return operator.NewProblem(operator.NotFound, "components/"+in.Name, "release "+in.Release+" has no image of it",
				"name another release, or none: then it comes with the infra host's boot medium")
		}
		image, process = m.Components[i].Image, m.Components[i].Process
	}
	token := secret.Text("hnt1." + rand.Text())
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, there := node(tx.View(), in.Name); there {
			return nil
		}
		n, err := d.make(tx, in.Name, token)
		if err != nil {
			return err
		}
		n.Container.Image, n.Container.Process = image, process
		if in.Name == patch.Component {
			d.keepToken(tx, token)
		}
		store.Nodes.Put(tx, n.CTID.String(), n)
		if in.Release != "" {
			store.Components.Put(tx, in.Name, store.Component{Name: in.Name, CTID: n.CTID, Last: 1,
				Version: store.ComponentVersion{Release: in.Release, Generation: 1, Image: image, Process: process}})
		}
		return nil
	})
	return err
}

// keepToken makes a token the Patcher's, in the place of one that was there before.
func (d *Desk) keepToken(tx *store.Tx, token secret.Text) {
	for hash, t := range store.Tokens.Refs(tx.View()) {
		if t.ID == authz.PatcherID {
			store.Tokens.Delete(tx, hash)
		}
	}
	store.Tokens.Put(tx, authz.Hash(token), store.Token{ID: authz.PatcherID, Name: patch.Component, Account: wire.AdminAccount,
		Hash: authz.Hash(token), Scopes: []string{string(authz.Patch)}, Created: d.now(), Maker: authz.Setup()})
}

// make is a component's node without its image, on the infra host that the cluster began on.
func (d *Desk) make(tx *store.Tx, name string, token secret.Text) (n store.Node, err error) {
	object, of := "components/"+name, optional[name]
	c, _ := store.Clusters.Read(tx, store.Only)
	for _, h := range store.Hosts.Refs(tx.View()) {
		if h.Role == host.RoleInfra && h.Number == 0 {
			n.Host = h.ID
		}
	}
	if n.Host == "" {
		return n, operator.NewProblem(operator.Conflict, object, "the infra host has not joined yet", "wait for it: hnctl host list")
	}
	if _, taken := store.Nodes.Read(tx, of.ctid.String()); taken {
		return n, operator.NewProblem(operator.Conflict, object, "its number, "+of.ctid.String()+", is another component's, or one's "+
			"that is going", "wait until that is gone: hnctl patch components")
	}
	raw, err := json.Marshal(of.config(c, d.Pin, token, func(port string) (list []string) {
		for o := range store.NodesOf.Of(tx.View(), string(env.System)) {
			if o.Container.Component == orchestrator {
				list = append(list, net.JoinHostPort(o.Container.IPv4.String(), port))
			}
		}
		return append(list, net.JoinHostPort(c.Infra.Underlay, port))
	}))
	if err != nil {
		return n, err
	}
	n.CTID, n.Env, n.Layer, n.Placed = of.ctid, env.System, wire.LayerName(name), "components run on the infra host"
	n.Cloudlets, n.Created = of.cloudlets, d.now()
	n.Container = host.Container{CTID: n.CTID, Env: env.System, Account: wire.AdminAccount, Layer: n.Layer, Hostname: name,
		Generation: 1, Run: true, Profile: host.ProfileApp, Component: name, Limits: env.LimitsOf(n.Cloudlets, 1024),
		Volumes: []host.Volume{{Name: "data", Path: "/data", Bytes: of.volume}},
		Files:   []host.File{{Path: of.file, Mode: 0o400, Data: raw}}, Check: &host.Check{Port: of.port}}
	if of.publish {
		n.Container.Publish = []host.Port{{Proto: "tcp", Host: of.port, Container: of.port}}
	}
	if n.Container.IPv4, err = blocks.Component(c.Infra.Block4, n.CTID); err == nil && c.Infra.Block6 != "" {
		n.Container.IPv6, err = blocks.Component(c.Infra.Block6, n.CTID)
	}
	return n, err
}
