// Package pxe keeps how machines boot from the network: whether the component netboot runs, on which card, for which machines, with what.
//
// Owns: the setting; what netboot is told, which follows from it, the imported releases and the enrolled hosts.
// In: what people want; the store's view; the list of releases; what netboot says of itself.
// Out: the setting's record; host.Netboot, without a secret; refusals as Problems.
// Never: runs the component (converge makes its node), reads a release's files, or takes a card's address for a machine's identity.
package pxe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/orchestrator/store"
)

// Desk is where the setting is changed and told. All of it is needed.
type Desk struct {
	Store    *store.Store
	Releases interface{ List() operator.Releases }
	Pin      string // of the cluster's root CA
	Now      func() time.Time

	said struct {
		sync.Mutex
		report host.NetbootReport
		at     time.Time
	}
}

// fresh is how long what netboot said of itself counts.
const fresh = 3 * time.Minute

// Report takes in what netboot says of itself.
func (d *Desk) Report(r host.NetbootReport) {
	d.said.Lock()
	defer d.said.Unlock()
	d.said.report, d.said.at = r, d.Now()
}

// troubles are those that netboot has said.
func (d *Desk) troubles() (out []operator.NetbootTrouble) {
	d.said.Lock()
	defer d.said.Unlock()
	if d.Now().Sub(d.said.at) > fresh {
		return nil
	}
	for _, t := range d.said.report.Troubles {
		out = append(out, operator.NetbootTrouble(t))
	}
	return out
}

// hostPort is the port of the host API, which machines ask at.
const hostPort = 7444

// Enable switches netboot on, or changes what it does.
func (d *Desk) Enable(ctx context.Context, by string, in operator.NewNetboot) error {
	rec, err := setting(in)
	if err != nil {
		return err
	}
	if _, why := choose(d.Releases.List(), rec.Release, rec.Target); why != "" {
		return operator.NewProblem(operator.Conflict, "cluster/netboot", why, "hnctl release list; hnctl release import FILE")
	}
	rec.Pin, rec.By, rec.At = d.Pin, by, d.Now().UTC().Truncate(time.Second)
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error { store.Netboots.Put(tx, store.Only, rec); return nil })
	return err
}

// Disable switches it off; when it is off already, nothing happens.
func (d *Desk) Disable(ctx context.Context) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error { store.Netboots.Delete(tx, store.Only); return nil })
	return err
}

// setting is what a person asked for as it is kept, or a Problem.
func setting(in operator.NewNetboot) (rec store.Netboot, err error) {
	bad := func(object, reason, next string) error {
		return operator.NewProblem(operator.Invalid, object, reason, next)
	}
	if err := host.CheckLink(in.Interface); err != nil {
		return rec, bad("interface", err.Error(), "name a network card of the infra host: its configuration names its links")
	}
	if in.All == (len(in.For) > 0) {
		return rec, bad("for", "say which machines are answered: all, or those with certain cards, one of both",
			"all means that every machine on that network which asks how to boot then boots Hardnode")
	}
	of, err := host.ParseGiven(in.Addresses, in.Router, in.DNS)
	if err != nil {
		return rec, bad("addresses", err.Error(), "name the first, the last, and the length of the prefix of the card's network, a router "+
			"of it, and resolvers; without addresses nothing of it is given")
	}
	rec = store.Netboot{Interface: in.Interface, All: in.All, Release: in.Release, Target: cmp.Or(in.Target, string(release.Metal)),
		Addresses: of.String(), Router: in.Router, DNS: in.DNS}
	for _, text := range in.For {
		mac, err := net.ParseMAC(strings.TrimSpace(text))
		if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			return rec, bad("for", fmt.Sprintf("%q is no card's address", text), "write MACs such as 52:54:00:12:34:56")
		}
		rec.For = append(rec.For, mac.String())
	}
	slices.Sort(rec.For)
	rec.For = slices.Compact(rec.For)
	return rec, nil
}

// Show is the setting, and what is served.
func (d *Desk) Show() operator.Netboot {
	rec, on := store.Netboots.Get(d.Store.View(), store.Only)
	if !on {
		return operator.Netboot{}
	}
	r, why := choose(d.Releases.List(), rec.Release, rec.Target)
	return operator.Netboot{Enabled: true, Interface: rec.Interface, All: rec.All, For: rec.For, Release: rec.Release, Target: rec.Target,
		Addresses: rec.Addresses, Router: rec.Router, DNS: rec.DNS, By: rec.By, At: rec.At, Serves: r.Release, Reason: why,
		Troubles: d.troubles()}
}

// Serves says why hosts can't be served a release, or "".
func (d *Desk) Serves(release string) (why string) {
	rec, on := store.Netboots.Get(d.Store.View(), store.Only)
	if !on {
		return "netboot is switched off"
	}
	_, why = choose(d.Releases.List(), release, rec.Target)
	return why
}

// Document is what netboot is told now; false: it is switched off.
func (d *Desk) Document() (host.Netboot, bool) {
	v := d.Store.View()
	rec, on := store.Netboots.Get(v, store.Only)
	if !on {
		return host.Netboot{}, false
	}
	cluster, _ := store.Clusters.Get(v, store.Only)
	all := d.Releases.List()
	doc := host.Netboot{Version: 1, All: rec.All, For: rec.For, Config: configuration(cluster, rec.Pin, all),
		Releases: []host.NetbootRelease{}, Addresses: rec.Addresses, Router: rec.Router, DNS: rec.DNS}
	r, why := choose(all, rec.Release, rec.Target)
	if doc.Reason = why; why == "" {
		doc.Release, doc.Releases = r.Release, append(doc.Releases, r)
	}
	here := func(release string) bool { _, why := choose(all, release, rec.Target); return why == "" }
	add(&doc, enrolled(v, here), all, rec.Target)
	return sealed(doc), true
}

// sealed is a document with its sum.
func sealed(doc host.Netboot) host.Netboot {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: encode what netboot serves: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	doc.Sum = hex.EncodeToString(sum[:])
	return doc
}

// choose is the wanted release as far as it boots hosts, the newest that was imported when none is wanted, or why there is none.
func choose(all operator.Releases, want, target string) (host.NetbootRelease, string) {
	var out host.NetbootRelease
	for _, r := range all.Releases {
		if want != "" && r.Version != want || want == "" && release.Version(r.Version).Compare(release.Version(out.Release)) <= 0 {
			continue
		}
		if b, ok := bootable(r, target); ok {
			out = b
		}
	}
	switch {
	case out.Release != "":
		return out, ""
	case want != "":
		return out, fmt.Sprintf("release %s was not imported, or has no kernel and initrd for %s", want, target)
	}
	return out, fmt.Sprintf("no release was imported that has kernel and initrd for %s", target)
}

// bootable is the files by which machines of a target boot a release as hosts.
func bootable(r operator.Release, target string) (host.NetbootRelease, bool) {
	out := host.NetbootRelease{Release: r.Version}
	for name, at := range map[string]*host.NetbootFile{"vmlinuz": &out.Kernel, "host.initrd": &out.Initrd, "cmdline": &out.Cmdline} {
		i := slices.IndexFunc(r.Files, func(f operator.ReleaseFile) bool { return f.Path == r.Version+"/"+target+"-"+name })
		if i < 0 {
			return out, false
		}
		*at = host.NetbootFile{Digest: r.Files[i].Digest, Bytes: r.Files[i].Bytes}
	}
	return out, true
}

// configuration is the hardnode.yaml of any machine that boots: it holds no secret, so the machine waits to be admitted. By the pins of
// both repositories it looks whether it runs what they name.
func configuration(c store.Cluster, pin string, known operator.Releases) string {
	endpoint, trusted := net.JoinHostPort(c.Infra.Underlay, strconv.Itoa(hostPort)), ""
	if known.Image != "" && known.Director != "" {
		trusted = fmt.Sprintf("releases:\n  image: %s\n  director: %s\n", known.Image, known.Director)
	}
	if a, err := netip.ParseAddr(c.Infra.Underlay); err == nil {
		endpoint = netip.AddrPortFrom(a, hostPort).String()
	}
	return fmt.Sprintf(`# It holds no secret: a machine with it waits, shows a code on its console, and joins after hnctl host admit CODE.
version: 1
role: user
join:
  cluster: %s
  endpoints:
    - %s
  caPin: %s
network:
  links: []
storage:
  data: auto
`, c.ID, endpoint, pin) + trusted
}
