// Package retire removes templates, and what is left of them on the registry's disk.
//
// Owns: what may go: who uses what (as the orchestrator last told), since when an image is used by nobody; the collection's clock.
// In: deletions asked for; the orchestrator's Used.
// Out: deletions from package blobs and package catalog; how many bytes that freed.
// Never: removes what a template, a node or a push under way may need, or anything while nobody says what is in use.
package retire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/importer"
)

// The clocks.
const (
	every  = 30 * time.Minute // between collections
	fresh  = 5 * time.Minute  // how long what was told of uses counts
	settle = 10 * time.Minute // how long an image must be unused: a node that is just being made is told of later
)

// ErrUnknown: nobody has said lately what is in use.
var ErrUnknown = errors.New("it is not known what is in use: the orchestrator has not said so in the last minutes")

// InUse says who uses what was to be deleted.
type InUse struct {
	Name  wire.TemplateName
	Users []string
}

// most is how many users an error names.
const most = 10

func (e *InUse) Error() string {
	list := strings.Join(e.Users[:min(len(e.Users), most)], ", ")
	if more := len(e.Users) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("template %s is in use by %s", e.Name, list)
}

// Keeper removes. Its methods may be called at once.
type Keeper struct {
	OCI     *blobs.Store
	Catalog *catalog.Catalog
	States  *importer.States
	Log     *slog.Logger
	Now     func() time.Time

	mu     sync.Mutex // held for a deletion or a collection
	told   time.Time
	used   host.Used
	unused map[wire.Digest]time.Time // since when
}

// Told takes what is in use now.
func (k *Keeper) Told(u host.Used) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used, k.told = u, k.Now()
	for d := range k.unused {
		if u.Has(d) {
			delete(k.unused, d)
		}
	}
}

func (k *Keeper) known() bool { return !k.told.IsZero() && k.Now().Sub(k.told) < fresh }

// Delete removes repo:tag, or repo@digest (of the manifest) with all its tags. InUse and ErrUnknown refuse it; importer.ErrNone: there is
// none. catalog.ErrFull: the tags are gone, and there was no room to write down that the templates are: deleting them again ends that, as
// it does what a power cut left. Sure says that what was Told is the latest, so that the image can go at once.
func (k *Keeper) Delete(ctx context.Context, repo, ref string, sure bool) (host.Freed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.known() {
		return host.Freed{}, ErrUnknown
	}
	list := k.Catalog.List()
	names, err := k.meant(ctx, list, repo, ref)
	if err != nil {
		return host.Freed{}, err
	}
	for _, n := range names {
		image, elsewhere := imageOf(list, n, names)
		if by := k.used.Users(n, image, elsewhere); len(by) > 0 {
			return host.Freed{}, &InUse{n, by}
		}
	}
	_, err = k.OCI.Delete(ctx, repo, ref)
	if left := slices.ContainsFunc(list, func(t host.Template) bool { return slices.Contains(names, t.Name) }); err != nil &&
		!(left && errors.Is(err, importer.ErrNone)) {
		return host.Freed{}, err
	}
	for _, n := range names {
		k.States.Forget(n)
		t, ok, err := k.Catalog.Remove(n)
		if errors.Is(err, catalog.ErrFull) { // what the tag alone needed goes first: that makes room
			if _, e := k.collect(ctx); e != nil {
				return host.Freed{}, errors.Join(err, e)
			}
			t, ok, err = k.Catalog.Remove(n)
		}
		if err != nil {
			return host.Freed{}, err
		}
		if ok && sure {
			k.since(t.Digest, time.Time{})
		}
	}
	logging.Or(k.Log).Info("deleted", "template", repo, "names", len(names))
	freed, err := k.collect(ctx)
	freed.Names = names
	return freed, err
}

// meant are the names that repo:tag or repo@digest is about: of a manifest all its tags, and templates of it whose tags are gone.
func (k *Keeper) meant(ctx context.Context, list []host.Template, repo, ref string) (names []wire.TemplateName, err error) {
	d := wire.Digest(ref)
	if d.Validate() != nil {
		return []wire.TemplateName{wire.TemplateName(repo + ":" + ref)}, nil
	}
	tags, err := k.OCI.Pointing(ctx, repo, d)
	if err != nil && !errors.Is(err, importer.ErrNone) {
		return nil, err
	}
	for _, tag := range tags {
		names = append(names, wire.TemplateName(repo+":"+tag))
	}
	for _, t := range list {
		if of, _, _ := strings.Cut(string(t.Name), ":"); of != repo || t.OCI != d || slices.Contains(names, t.Name) {
			continue
		}
		if _, err := k.OCI.Resolve(ctx, t.Name); errors.Is(err, importer.ErrNone) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

// imageOf is the image of name, and whether a template that stays has it too.
func imageOf(list []host.Template, name wire.TemplateName, going []wire.TemplateName) (d wire.Digest, elsewhere bool) {
	for _, t := range list {
		if t.Name == name {
			d = t.Digest
		}
	}
	for _, t := range list {
		elsewhere = elsewhere || t.Digest == d && !slices.Contains(going, t.Name)
	}
	return d, elsewhere
}

// Collect removes what nothing needs.
func (k *Keeper) Collect(ctx context.Context) (host.Freed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.collect(ctx)
}

func (k *Keeper) collect(ctx context.Context) (host.Freed, error) {
	parts, err := k.OCI.Collect(ctx)
	out := host.Freed{Manifests: parts.Manifests, Blobs: parts.Blobs, Bytes: parts.Bytes, Later: parts.Later}
	n, bytes, later, e := k.Catalog.Collect(k.may)
	out.Images, out.Bytes, out.Later = n, out.Bytes+bytes, out.Later+later
	if out.Bytes > 0 || out.Manifests > 0 {
		logging.Or(k.Log).Info("removed what nothing needs", "images", out.Images, "manifests", out.Manifests, "blobs", out.Blobs,
			"bytes", out.Bytes, "later", out.Later)
	}
	return out, errors.Join(err, e)
}

// may tells whether nobody needs an image that is no template's.
func (k *Keeper) may(d wire.Digest) bool {
	if !k.known() || k.used.Has(d) {
		delete(k.unused, d)
		return false
	}
	return k.Now().Sub(k.since(d, k.Now())) >= settle
}

// since is from when on an image is unused: at, unless that is known.
func (k *Keeper) since(d wire.Digest, at time.Time) time.Time {
	if k.unused == nil {
		k.unused = map[wire.Digest]time.Time{}
	}
	if was, ok := k.unused[d]; ok && was.Before(at) {
		return was
	}
	k.unused[d] = at
	return at
}

// Run collects from time to time until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for run.Wait(ctx, every) {
		if _, err := k.Collect(ctx); err != nil && ctx.Err() == nil {
			logging.Or(k.Log).Warn("what nothing needs could not all be removed", logging.Err, err)
		}
	}
	return nil
}
