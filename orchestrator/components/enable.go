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
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// The Patcher as Day 0 makes it.
const (
	patcherCTID   wire.CTID = 5
	patcherVolume           = int64(1) << 30
	patcherPort             = 7447
	apiPort                 = "7443"
)

var patcherCloudlets = wire.Cloudlets{Reserved: 1, Dynamic: 4}

// Enable gives a cluster that was made before there was a Patcher one, with a token of its own; a Patcher that is there stays as it is. Its
// image is a release's, or, where none is named, that of the infra host's boot medium.
func (d *Desk) Enable(ctx context.Context, in operator.NewComponent) error {
	image, process := host.Image{Name: imageOf(patch.Component)}, host.Process{}
	if in.Release != "" {
		m, err := d.manifest(in.Release)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(m.Components, func(c boot.BundledImage) bool { return c.Name == image.Name })
		if i < 0 {
			return operator.NewProblem(operator.NotFound, "components/"+patch.Component, "release "+in.Release+" has no image of it",
				"name another release, or none: then it comes with the infra host's boot medium")
		}
		image, process = m.Components[i].Image, m.Components[i].Process
	}
	token := secret.Text("hnt1." + rand.Text())
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, there := node(tx.View(), patch.Component); there {
			return nil
		}
		n, err := d.patcher(tx, token)
		if err != nil {
			return err
		}
		n.Container.Image, n.Container.Process = image, process
		for hash, t := range store.Tokens.Refs(tx.View()) { // of one that was there before
			if t.ID == authz.PatcherID {
				store.Tokens.Delete(tx, hash)
			}
		}
		store.Tokens.Put(tx, authz.Hash(token), store.Token{ID: authz.PatcherID, Name: patch.Component, Account: wire.AdminAccount,
			Hash: authz.Hash(token), Scopes: []string{string(authz.Patch)}, Created: d.now(), Maker: authz.Setup()})
		store.Nodes.Put(tx, n.CTID.String(), n)
		if in.Release != "" {
			store.Components.Put(tx, patch.Component, store.Component{Name: patch.Component, CTID: n.CTID, Last: 1,
				Version: store.ComponentVersion{Release: in.Release, Generation: 1, Image: image, Process: process}})
		}
		return nil
	})
	return err
}

// patcher is the Patcher's node without its image, on the infra host that the cluster began on.
func (d *Desk) patcher(tx *store.Tx, token secret.Text) (n store.Node, err error) {
	object := "components/" + patch.Component
	c, _ := store.Clusters.Read(tx, store.Only)
	for _, h := range store.Hosts.Refs(tx.View()) {
		if h.Role == host.RoleInfra && h.Number == 0 {
			n.Host = h.ID
		}
	}
	if n.Host == "" {
		return n, operator.NewProblem(operator.Conflict, object, "the infra host has not joined yet", "wait for it: hnctl host list")
	}
	if _, taken := store.Nodes.Read(tx, patcherCTID.String()); taken {
		return n, operator.NewProblem(operator.Conflict, object, "its number, "+patcherCTID.String()+", is another component's, or one's "+
			"that is going", "wait until that is gone: hnctl patch components")
	}
	config := boot.PatcherConfig{Version: 1, Cluster: c.ID, CAPin: d.Pin, Token: token}
	for o := range store.NodesOf.Of(tx.View(), string(env.System)) {
		if o.Container.Component == orchestrator {
			config.API = append(config.API, net.JoinHostPort(o.Container.IPv4.String(), apiPort))
		}
	}
	config.API = append(config.API, net.JoinHostPort(c.Infra.Underlay, apiPort))
	raw, err := json.Marshal(config)
	if err != nil {
		return n, err
	}
	n.CTID, n.Env, n.Layer, n.Placed = patcherCTID, env.System, patch.Component, "components run on the infra host"
	n.Cloudlets, n.Created = patcherCloudlets, d.now()
	n.Container = host.Container{CTID: n.CTID, Env: env.System, Account: wire.AdminAccount, Layer: n.Layer, Hostname: patch.Component,
		Generation: 1, Run: true, Profile: host.ProfileApp, Component: patch.Component, Limits: env.LimitsOf(n.Cloudlets, 1024),
		Volumes: []host.Volume{{Name: "data", Path: "/data", Bytes: patcherVolume}},
		Files:   []host.File{{Path: boot.PatcherConfigFile, Mode: 0o400, Data: raw}},
		Publish: []host.Port{{Proto: "tcp", Host: patcherPort, Container: patcherPort}}, Check: &host.Check{Port: patcherPort}}
	if n.Container.IPv4, err = blocks.Component(c.Infra.Block4, n.CTID); err == nil && c.Infra.Block6 != "" {
		n.Container.IPv6, err = blocks.Component(c.Infra.Block6, n.CTID)
	}
	return n, err
}
