// Package components says which version of each component of the platform shall run.
//
// Owns: the records store.Components: the version in force, the one that is tried and until when, why the last one did not stay.
// In: orders and who gives them; the imported releases; what the host says of the components that it runs.
// Out: the record, which converge makes the node of; refusals as Problems.
// Never: goes back to a version by itself: the component's host does, without anybody's word, and is believed here.
//
//	runs ─Replace→ tried until ConfirmBy ─Confirm→ runs the new one
//	                 └─ the host went back, or TakeBack → runs the former one; Failed says why
package components

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Desk takes orders. All of it is needed.
type Desk struct {
	Store interface { // store.Store
		View() *store.View
		Update(context.Context, func(*store.Tx) error) (wire.Revision, error)
	}
	Live     func() live.Snapshot
	Releases interface { // releases.Shelf
		List() operator.Releases
		Read(digest wire.Digest, offset int64, length int) ([]byte, error)
	}
	// Snapshot keeps what is stored as it is, before the orchestrator is replaced; Snapshots are those that are kept.
	Snapshot  func(ctx context.Context, reason string) error
	Snapshots func() []store.Snapshot
	Pin       string // of the root CA
	Now       func() time.Time
	Log       *slog.Logger // nil discards
}

// Replace has a component run its version of a release until that is confirmed. What runs already, or is tried, stays as it is.
func (d *Desk) Replace(ctx context.Context, name string, in operator.ReplaceComponent, by string) error {
	o := order{release: in.Release, within: time.Duration(in.WithinSec) * time.Second, by: by, reason: in.Reason}
	if o.within == 0 {
		o.within = usualWithin
	}
	m, err := d.manifest(in.Release)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(m.Components, func(c boot.BundledImage) bool { return c.Name == imageOf(name) })
	if i < 0 {
		return operator.NewProblem(operator.NotFound, "components/"+name, fmt.Sprintf("release %s has no image of it", in.Release),
			"see hnctl patch components")
	}
	if rec := store.Components.Find(d.Store.View(), name); name == orchestrator && (rec == nil || rec.Before == nil) {
		if err := d.Snapshot(ctx, "the orchestrator is replaced by release "+in.Release); err != nil {
			return err
		}
	}
	o.image, o.process = m.Components[i].Image, m.Components[i].Process
	return d.change(ctx, name, func(rec *store.Component, n store.Node, st host.ContainerStatus) (store.Component, bool, error) {
		next, changed, p := begin(rec, n, st, o, d.now())
		if p != nil {
			return next, false, p
		}
		return next, changed, nil
	})
}

// Confirm has the version that is tried stay. It has to run, and its host to say so.
func (d *Desk) Confirm(ctx context.Context, name string) error {
	return d.change(ctx, name, func(rec *store.Component, n store.Node, st host.ContainerStatus) (store.Component, bool, error) {
		next, p := confirm(rec, name, n, st, d.now())
		if p != nil {
			return next, false, p
		}
		return next, true, nil
	})
}

// TakeBack ends a trial. When there is none, nothing happens.
func (d *Desk) TakeBack(ctx context.Context, name, by string) error {
	return d.change(ctx, name, func(rec *store.Component, _ store.Node, _ host.ContainerStatus) (store.Component, bool, error) {
		if rec == nil || rec.Before == nil {
			return store.Component{}, false, nil
		}
		return back(*rec, "it was taken back by "+by, d.now()), true, nil
	})
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Second) }

// orchestrator is the component that this program is.
const orchestrator = "orchestrator"

// imageOf is the name of a component's image.
func imageOf(name string) wire.TemplateName { return wire.TemplateName("jelastic/" + name) }

// change changes a component's record by what is known of it.
func (d *Desk) change(ctx context.Context, name string,
	f func(*store.Component, store.Node, host.ContainerStatus) (store.Component, bool, error)) error {
	n, ok := node(d.Store.View(), name)
	if !ok {
		return operator.NewProblem(operator.NotFound, "components/"+name, "the platform has no such component",
			"see hnctl patch components")
	}
	st, _ := d.Live()[n.Host].Container(n.CTID)
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		var rec *store.Component
		if r, ok := store.Components.Read(tx, name); ok {
			rec = &r
		}
		n, ok := store.Nodes.Read(tx, n.CTID.String())
		if !ok || n.Gone {
			return operator.NewProblem(operator.Conflict, "components/"+name, "the component is going", "wait until it is gone")
		}
		next, changed, err := f(rec, n, st)
		if err == nil && changed {
			store.Components.Put(tx, name, next)
		}
		return err
	})
	return err
}

// node is a component's node.
func node(v *store.View, name string) (store.Node, bool) {
	for n := range store.NodesOf.Of(v, string(env.System)) {
		if n.Container.Component == name && !n.Gone {
			return n, true
		}
	}
	return store.Node{}, false
}

// manifest is that of a release which was imported. Each of its component images is a file that both repositories name.
func (d *Desk) manifest(version string) (release.Manifest, error) {
	all := d.Releases.List().Releases
	i := slices.IndexFunc(all, func(r operator.Release) bool { return r.Version == version })
	if i < 0 {
		return release.Manifest{}, operator.NewProblem(operator.NotFound, "releases/"+version, "no such release was imported",
			"see hnctl release list, or import it: hnctl release import FILE")
	}
	object := "releases/" + version
	damaged := func(format string, args ...any) error {
		return operator.NewProblem(operator.Invalid, object, fmt.Sprintf(format, args...), "tell whoever signs the repository")
	}
	files := all[i].Files
	at := slices.IndexFunc(files, func(f operator.ReleaseFile) bool { return f.Path == version+"/"+release.ManifestFile })
	if at < 0 || files[at].Bytes > release.MaxBytes {
		return release.Manifest{}, damaged("it has no manifest, or a too long one")
	}
	raw, err := d.Releases.Read(files[at].Digest, 0, int(files[at].Bytes))
	if err != nil {
		return release.Manifest{}, err
	}
	m, err := release.Decode(raw)
	if err != nil {
		return m, damaged("%v", err)
	}
	for _, c := range m.Components {
		if !slices.ContainsFunc(files, func(f operator.ReleaseFile) bool {
			return f.Digest == c.Image.Digest && f.Bytes == c.Image.Bytes
		}) {
			return m, damaged("its manifest names the image %s, which is not signed as a part of it", c.Name)
		}
	}
	return m, nil
}

// List is the components as they are, with their images in a release, if that is not "".
func (d *Desk) List(node func(store.Node) operator.Node, version string) ([]operator.Component, error) {
	offered := map[wire.TemplateName]wire.Digest{}
	if version != "" {
		m, err := d.manifest(version)
		if err != nil {
			return nil, err
		}
		for _, c := range m.Components {
			offered[c.Name] = c.Image.Digest
		}
	}
	v, at, out := d.Store.View(), d.Live(), []operator.Component{}
	for n := range store.NodesOf.Of(v, string(env.System)) {
		name := n.Container.Component
		if name == "" || n.Gone {
			continue
		}
		shown := node(n)
		st, _ := at[n.Host].Container(n.CTID)
		c := operator.Component{Name: name, CTID: n.CTID, Host: n.Host, HostName: shown.HostName, InternalIP: shown.InternalIP,
			ExternalIP: shown.ExternalIP, State: shown.State, Reason: shown.Reason, Restarts: shown.Restarts, Started: shown.Started,
			Image: st.Image, Offered: offered[imageOf(name)]}
		if name == orchestrator {
			for _, s := range d.Snapshots() {
				c.Snapshots = append(c.Snapshots, s.At.Format(time.RFC3339)+" "+s.Reason)
			}
		}
		if rec := store.Components.Find(v, name); rec != nil {
			c.Release = rec.Version.Release
			if rec.Before != nil {
				c.Release = rec.Before.Release
				c.Trial = &operator.ComponentTrial{Release: rec.Version.Release, From: rec.Before.Release,
					Image: string(rec.Version.Image.Digest), By: rec.By, Reason: rec.Reason, Since: rec.At, ConfirmBy: rec.ConfirmBy,
					Runs: runs(rec, n, st)}
			}
			if f := rec.Failed; f != nil {
				c.Failed = &operator.ComponentFailure{Release: f.Release, Reason: f.Reason, At: f.At}
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// settleEvery is how often it is looked whether a host went back.
const settleEvery = time.Second

// Run notes what hosts went back from, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	return run.Every(ctx, settleEvery, func(ctx context.Context) error {
		v := d.Store.View()
		for name, rec := range store.Components.Refs(v) {
			if rec.Before == nil {
				continue
			}
			err := d.change(ctx, name, func(rec *store.Component, n store.Node, st host.ContainerStatus) (store.Component, bool, error) {
				if rec == nil {
					return store.Component{}, false, nil
				}
				next, changed := settle(*rec, n, st, d.now())
				if changed {
					logging.Or(d.Log).Warn("a component went back", "component", name, "release", rec.Version.Release, logging.Reason,
						next.Failed.Reason)
				}
				return next, changed, nil
			})
			if err != nil && ctx.Err() == nil {
				logging.Or(d.Log).Warn("what a component went back from is not noted", "component", name, logging.Err, err)
			}
		}
		return nil
	})
}
