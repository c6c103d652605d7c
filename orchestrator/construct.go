package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/api"
	"hardnode.dev/orchestrator/audit"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/certify"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/components"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/domains"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/holds"
	"hardnode.dev/orchestrator/hostapi"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/lead"
	"hardnode.dev/orchestrator/licensing"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/metered"
	"hardnode.dev/orchestrator/metrics"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/panel"
	"hardnode.dev/orchestrator/passkeys"
	"hardnode.dev/orchestrator/pxe"
	"hardnode.dev/orchestrator/releases"
	"hardnode.dev/orchestrator/rollouts"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/seed"
	"hardnode.dev/orchestrator/session"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/systems"
	"hardnode.dev/orchestrator/templates"
	people "hardnode.dev/orchestrator/users"
	"hardnode.dev/orchestrator/world"
	"hardnode.dev/orchestrator/zones"
)

// config is what the flags say.
type config struct {
	seed, data, api, hosts string
	scale                  int
	unsafe                 bool // tests only: no fsync
	started                time.Time
	log                    *slog.Logger
}

// clockScale is 3 on a CPU that QEMU emulates in software, which calls itself "QEMU TCG CPU"; else 1.
func clockScale(cpuinfo string) int {
	raw, err := os.ReadFile(cpuinfo)
	if err == nil && bytes.Contains(raw, []byte("TCG")) {
		return 3
	}
	return 1
}

// orchestrator is all its parts, each of which knows only those it is given.
type orchestrator struct {
	log       *slog.Logger
	store     *store.Store
	audit     *audit.Log
	holder    *identity.Holder
	trust     identity.Trust
	certs     *certs.Keeper
	browser   *certs.Browser
	license   *licensing.Keeper
	templates *templates.List
	fleet     *live.Fleet
	loop      *lead.Loop
	accounts  *accounts.Desk
	users     *people.Desk
	shares    *shares.Desk
	mail      *mail.Desk
	idp       *idp.Desk
	passkeys  *passkeys.Desk
	ops       *ops.Ops
	domains   *domains.Desk
	certify   *certify.Desk
	zones     *zones.Desk
	routes    *hostapi.Routes
	api       *api.Server
	hosts     *hostapi.Server
	panel     *panel.Panel

	components *components.Desk

	counting struct { // brought up to date when somebody asks
		sync.Mutex
		counts world.Counts
		heard  live.Version
	}
}

// construct opens the store, imports the seed into a new one, and puts the parts together. Nothing runs or listens yet.
func construct(ctx context.Context, c config, s *seed.Seed) (o *orchestrator, err error) {
	o = &orchestrator{log: c.log, holder: &identity.Holder{},
		trust: identity.Trust{Pin: identity.Pin(s.Authority.Root), Cluster: s.Cluster}}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return nil, err
	}
	snapshots := filepath.Join(c.data, "snapshots")
	if o.store, err = store.Recover(ctx, store.Options{Dir: filepath.Join(c.data, "store"), Unsafe: c.unsafe, Log: c.log}, snapshots,
		time.Now()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if _, err = o.store.Update(ctx, func(tx *store.Tx) error { return s.Import(tx, time.Now()) }); err != nil {
		return nil, err
	}
	if o.audit, err = audit.Open(filepath.Join(c.data, "audit.jsonl")); err != nil {
		return nil, err
	}
	key, err := identity.LoadKey(filepath.Join(c.data, "installation.key"))
	if err != nil {
		return nil, err
	}
	o.certs = &certs.Keeper{Authority: s.Authority, Names: s.OrchestratorSeed.Names, Holder: o.holder, Log: c.log}
	if err = o.certs.Renew(); err != nil {
		return nil, err
	}
	o.browser = &certs.Browser{Path: filepath.Join(c.data, "panel-certificate.json"), Names: s.OrchestratorSeed.Names, Log: c.log}
	if err = o.browser.Open(); err != nil {
		return nil, err
	}
	o.license = &licensing.Keeper{Store: o.store, Root: s.LicenseKey, Key: key, Cluster: s.Cluster, Name: s.Name, Log: c.log, Now: time.Now}
	o.license.Errors = &jerror.Spool{Path: filepath.Join(c.data, "errors.json")}
	if s.JLS.Addr != "" {
		o.license.JLS = licensing.NewClient(s.JLS, key)
	}
	if err = o.license.Look(ctx); err != nil {
		return nil, err
	}
	o.templates = &templates.List{Store: o.store, Registry: s.Registry, Trust: o.trust, Self: o.holder, Log: c.log}
	o.fleet = live.NewFleet(live.ClocksFor(c.scale), time.Now(), c.log)
	o.fleet.Tick(time.Now(), o.members())
	o.loop = &lead.Loop{Store: o.store, Fleet: o.fleet, License: o.license.Entitled, Holds: &holds.Book{}, Log: c.log}
	o.ops = &ops.Ops{Store: o.store, Fleet: o.fleet, Planned: o.planned, Log: c.log}
	o.templates.Runs = o.ops
	o.certify = certify.New(&certify.Desk{Store: o.store, Keys: certs.Sealer(s.Authority.Secret("private keys of web sites")),
		Delegated: func(ctx context.Context, v *store.View) string { return o.zones.Leads(ctx, v) },
		Lookup:    domains.FindDNS, Resolvers: world.Resolvers, Now: time.Now, Log: c.log,
		Shown: func(rev wire.Revision) bool { return o.routes.Shown(rev, time.Now()) }})
	o.domains = &domains.Desk{Issue: o.certify.Show, Store: o.store, Keys: certs.Sealer(s.Authority.Secret("private keys of web sites")),
		Proof: s.Authority.Secret("proofs of domains"), TXT: domains.AskDNS, Now: time.Now, Log: c.log}
	o.zones = &zones.Desk{Store: o.store, Resolvers: world.Resolvers, Now: time.Now, Log: c.log}
	o.routes = &hostapi.Routes{Store: o.store, Fleet: o.fleet, Names: o.domains.Names, Default: o.domains.Default, Zone: o.zones.Zone,
		Cookies: s.Authority.Secret("cookies of the resolver")}
	shelf, err := releases.Open(filepath.Join(c.data, "releases"), s.Cluster, time.Now)
	if err != nil {
		return nil, err
	}
	if r := s.Releases; r != nil && shelf.List().Image == "" {
		if err := shelf.Trust(r.Image, r.Director); err != nil {
			return nil, err
		}
	}
	hub := session.NewHub()
	tokens := &authz.Tokens{Store: o.store, Now: time.Now}
	guesses := &authz.Guesses{Record: o.audit.Write, Now: time.Now}
	o.idp = &idp.Desk{Store: o.store, Keys: certs.Sealer(s.Authority.Secret("identity provider")), Now: time.Now, Log: c.log}
	o.passkeys = &passkeys.Desk{Store: o.store, Cluster: s.Name, Now: time.Now, Log: c.log}
	o.mail = &mail.Desk{Store: o.store, Keys: certs.Sealer(s.Authority.Secret("mail of the cluster")), Cluster: s.Name, Now: time.Now,
		Log: c.log}
	o.certify.Notice, o.ops.Notice = o.notice, o.notice
	o.users = people.New(&people.Desk{Store: o.store, Tokens: tokens, Guesses: guesses, Cluster: s.Name,
		Key: s.Authority.Secret("second factors of users"), Mail: o.mail, Now: time.Now, Log: c.log})
	o.panel = &panel.Panel{Tokens: tokens, Guesses: guesses, World: o.seen, Log: c.log, Now: time.Now}
	desk := &enroll.Desk{Store: o.store, Authority: s.Authority, Names: s.OrchestratorSeed.Names, Log: c.log, Now: time.Now}
	netboot := &pxe.Desk{Store: o.store, Releases: shelf, Pin: o.trust.Pin, Now: time.Now}
	o.components = &components.Desk{Store: o.store, Live: o.fleet.Snapshot, Releases: shelf, Pin: o.trust.Pin, Now: time.Now, Log: c.log,
		Snapshot: func(ctx context.Context, reason string) error {
			return o.store.Snapshot(ctx, snapshots, reason, time.Now())
		},
		Snapshots: func() []store.Snapshot { return store.Snapshots(snapshots) }}
	secrets := sealed.Variables{Keys: certs.Sealer(s.Authority.Secret("secret variables"))}
	o.ops.Secrets, o.ops.Sites = secrets, o.domains.Transferred
	o.hosts = &hostapi.Server{Store: o.store, Fleet: o.fleet, Hub: hub, Routes: o.routes, Holds: o.loop.Holds, Log: c.log,
		Enroll: desk, Releases: shelf, Errors: o.license.Errors.Add, Leaving: o.ops.Leaves, Accepted: metrics.Accepted,
		Sums:       s.Authority.Secret("sums of what hosts are told"),
		Secrets:    secrets,
		Unlicensed: o.loop.Unlicensed, Netboot: netboot, Release: shelf.Open}
	o.accounts = &accounts.Desk{Store: o.store, Now: time.Now, Log: c.log}
	o.users.MakeAccount = o.accounts.SignUp
	o.shares = &shares.Desk{Store: o.store, Now: time.Now, Log: c.log}
	o.api = &api.Server{Store: o.store, Ops: o.ops, Tokens: tokens, Accounts: o.accounts, Users: o.users, Shares: o.shares,
		Mail: o.mail, IDP: o.idp, Audit: o.audit, World: o.seen, Hub: hub, Secrets: secrets,
		Log: c.log, License: o.license, Releases: shelf, Netboot: netboot, Enroll: desk, Guesses: guesses,
		RotateGossip: o.loop.RotateGossip,
		Metrics:      metrics.Handler(o.world, o.hosts.Held, o.fleet.Boots, o.fleet.Met),
		DryRun:       o.loop.DryRun, DryRunEdit: o.loop.DryRunEdit, Leaving: o.loop.Leaving, Target: o.loop.Target}
	o.panel.SignOut, o.panel.Admit = o.api.SignOut, o.api.Admit
	o.panel.SignIn = func(ctx context.Context, in user.SignIn, from string) (user.SignedIn, error) {
		return o.api.SignIn(ctx, in, from, "panel")
	}
	o.panel.Links = panel.Links{Look: o.users.Link, Use: o.api.UseLink, Forgot: o.users.Forgot, SignUp: o.users.SignUp,
		SignsUp: o.users.SignsUp}
	o.panel.Self = o.users.Self
	o.panel.OIDC = panel.OIDC{Name: o.idp.Name, Begin: o.idp.Begin, Finish: o.idp.Finish, Ticket: o.users.Ticket,
		Prove: o.api.ProveUser, Bind: o.api.BindUser, End: o.api.EndIdentity,
		SignIn: func(ctx context.Context, in oidc.OidcSignIn, from string) (user.SignedIn, error) {
			return o.api.SignInOIDC(ctx, in, from, "panel")
		}}
	o.panel.Passkeys = panel.Passkeys{Origin: o.passkeys.Origin, Ask: o.passkeys.BeginSignIn, Answer: o.passkeys.FinishSignIn,
		SignIn: o.api.SignInPasskey, List: o.users.Passkeys, Prove: o.api.ProvePasskey, Make: o.passkeys.BeginAdd,
		Made: o.passkeys.FinishAdd, Add: o.api.AddPasskey, Rename: o.api.RenamePasskey, Remove: o.api.RemovePasskey}
	o.api.Errors = o.license.Errors.Waiting
	o.api.Rollouts = rollouts.New(o.store.View, o.trust, o.holder)
	o.api.Metering = metered.New(o.store.View, o.trust, o.holder)
	o.api.Systems = &systems.Desk{Store: o.store, Releases: shelf.List, Serves: netboot.Serves,
		Carries: shelf.Carries, Now: time.Now}
	o.api.DeleteTemplate, o.api.CollectTemplates = o.templates.Delete, o.templates.Collect
	o.api.ShowTemplate, o.api.TagTemplate = o.templates.Show, o.templates.Tag
	o.api.Components, o.api.Domains, o.api.Certify, o.api.Zones = o.components, o.domains, o.certify, o.zones
	if s.Registry != "" {
		o.api.RefreshTemplates, o.api.Imports, o.api.LookImports = o.templates.Refresh, o.templates.Imports, o.templates.Look
	}
	return o, nil
}

func (o *orchestrator) close() {
	if o.audit != nil {
		o.audit.Close()
	}
	o.store.Close()
}

func (o *orchestrator) uncovered() map[wire.HostID]string {
	return converge.Uncovered(store.Hosts.All(o.store.View()), o.license.Entitled())
}

// seen is what an account sees at this moment.
func (o *orchestrator) seen(account wire.Account) world.World { return o.world().For(account) }

// world is everything at this moment.
func (o *orchestrator) world() world.World {
	w := o.decided()
	w.License, w.Uncovered, w.Counted = o.license.Show(), o.uncovered(), o.counted
	return w
}

// counted counts what an account sees at this moment. It costs what changed since somebody asked before.
func (o *orchestrator) counted(account wire.Account) world.Tally {
	c := &o.counting
	c.Lock()
	defer c.Unlock()
	v := o.store.View()
	moves, heard, _ := o.fleet.Since(c.heard)
	c.counts.Follow(v, moves)
	c.heard = heard
	return c.counts.Of(account)
}

// decided is the world without what the licence says of it.
func (o *orchestrator) decided() world.World {
	snapshot := o.fleet.Snapshot()
	return o.planned(world.World{Now: time.Now().UTC(), View: o.store.View(), Live: snapshot}.For(world.Admin))
}

// planned adds to a world what the last plan found.
func (o *orchestrator) planned(w world.World) world.World {
	w.Alarms = slices.Concat(o.domains.Alarms(), o.certify.Alarms())
	if p := o.loop.Last(); p != nil {
		w.Stuck, w.Uneven, w.Alarms, w.Rotation = p.Stuck, p.Uneven, slices.Concat(p.Alarms, w.Alarms), p.Rotation
	}
	return w
}

func (o *orchestrator) members() []live.Member {
	v := o.store.View()
	out := make([]live.Member, 0, store.Hosts.Len(v))
	for _, h := range store.Hosts.Refs(v) {
		m := live.Member{ID: h.ID, Name: h.Name, Joined: h.Joined}
		if l := store.Leaves.Find(v, string(h.ID)); l != nil {
			m.Order = &live.Order{Leave: l.Leave, Boot: l.Boot, At: l.At, Until: l.Until}
		}
		out = append(out, m)
	}
	return out
}

// lead is what this orchestrator does as the leader; it is the only one, so it always is.
func (o *orchestrator) lead(ctx context.Context) error {
	return lead.Lead(ctx, o.log,
		run.Task{Name: "components", Run: o.components.Run},
		run.Task{Name: "licence", Run: o.license.Run},
		run.Task{Name: "templates", Run: o.templates.Run},
		run.Task{Name: "converge", Run: o.loop.Run},
		run.Task{Name: "operations", Run: o.ops.Run},
		run.Task{Name: "accounts", Run: o.accounts.Run},
		run.Task{Name: "users", Run: o.users.Run},
		run.Task{Name: "shares", Run: o.shares.Run},
		run.Task{Name: "mail", Run: o.mail.Run},
		run.Task{Name: "domains", Run: o.domains.Run},
		run.Task{Name: "issued certificates", Run: o.certify.Run},
		run.Task{Name: "served systems", Run: o.followSystems},
	)
}

// followSystems keeps what becomes of the orders of hosts that boot from the network.
func (o *orchestrator) followSystems(ctx context.Context) error {
	return o.api.Systems.Follow(ctx, o.store.View, func() func(wire.HostID) *host.SystemStatus {
		live := o.fleet.Snapshot()
		return func(id wire.HostID) *host.SystemStatus {
			if r := live[id].Report; r != nil {
				return r.System
			}
			return nil
		}
	})
}

func (o *orchestrator) liveness(ctx context.Context) error { return o.fleet.Run(ctx, o.members) }

// serveAPI serves people: a certificate of the cluster, no client certificate.
func (o *orchestrator) serveAPI(l net.Listener) func(context.Context) error {
	conf := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: o.browser.For(o.certs)}
	mux := http.NewServeMux()
	mux.Handle("/", o.api.Handler())
	mux.Handle("/panel/", o.panel.Handler())
	mux.Handle("GET /{$}", http.RedirectHandler("/panel/", http.StatusSeeOther))
	return listen.HTTP(l, conf, mux, listen.Limits{Polls: true}, o.log)
}

// serveHosts serves hosts and the resolver: mutual TLS; enrolment comes without a certificate.
func (o *orchestrator) serveHosts(l net.Listener) func(context.Context) error {
	conf := identity.ServerTLS(o.trust, nil, o.holder)
	conf.NextProtos = []string{"h2", "http/1.1"}
	return listen.HTTP(l, conf, o.hosts.Handler(), listen.Limits{Connections: 16_000, Polls: true}, o.log)
}
