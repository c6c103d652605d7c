// Package deploy is JEM's module that puts applications in place: each release in a directory of its own, one of them shown by a link.
//
// Owns: contexts, their releases, the switch from one to the next, and the way back.
// In: an archive, sent along or from a URL, or a git repository; what builds it; what checks it.
// Out: /var/www/CONTEXT, a link that names one whole release at any moment.
// Never: changes a release that is shown, or leaves a new one shown whose check or hook failed.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/jem/archive"
	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/hook"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/server"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/agent/jem/unpack"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "deploy", Help: "applications", Actions: []contract.Action{
	{Name: "list", Args: "[CONTEXT]", Help: "releases that are kept, and which is shown", Reads: true, Begin: list},
	{Name: "archive", Args: "CONTEXT [--url URL [--sha256 HEX]] [--strip N] " + common, Limit: limit, Begin: fromArchive,
		Help: "put an archive in place, sent along or fetched"},
	{Name: "git", Args: "CONTEXT URL [--branch NAME] [--key] " + common, Limit: limit, Lacks: lacksGit, Begin: fromGit,
		Help: "put a branch of a git repository in place; --key: the SSH key is sent along"},
	{Name: "undo", Args: "CONTEXT [--to RELEASE] [--reload SERVER] [--check URL]", Help: "show the release before again", Frees: true,
		Begin: undo},
	{Name: "prune", Args: "CONTEXT [--keep N]", Help: "throw old releases away", Frees: true, Begin: prune},
	{Name: "remove", Args: "CONTEXT", Help: "take an application away, with all its releases", Frees: true, Begin: remove},
}}

const (
	common      = "[--owner USER] [--build COMMAND] [--reload SERVER] [--check URL] [--keep N]"
	limit       = 15 * time.Minute
	defaultKeep = 5
	maxKeep     = 50
)

var commonOptions = []string{"owner USER", "build COMMAND", "reload SERVER", "check URL", "keep N"}

var contextForm = form.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

// plan is what a deployment is to do beside making the release.
type plan struct {
	*place
	keep   int
	owner  users.User
	build  string
	reload *server.Server
	check  string
}

// planOf reads the common options. rest is what else there is.
func planOf(c *contract.Call, least int, options ...string) (p plan, a contract.Args, err error) {
	if a, err = c.Parse(least, least, append(options, commonOptions...)...); err != nil {
		return p, a, err
	}
	if p.place, err = placeOf(c, a.Rest[0]); err != nil {
		return p, a, err
	}
	if p.keep, err = a.Number("keep", defaultKeep, 1, maxKeep); err != nil {
		return p, a, err
	}
	if p.build = a.Option("build"); len(p.build) > 4000 {
		return p, a, contract.Invalid("--build: is longer than 4000 bytes")
	}
	if p.reload, p.check, err = after(a); err != nil {
		return p, a, err
	}
	p.owner, err = ownerOf(c.Root, a.Option("owner"))
	return p, a, err
}

// after is what is done once the link has changed.
func after(a contract.Args) (reload *server.Server, check string, err error) {
	if name := a.Option("reload"); name != "" {
		s, ok := server.ByName(name)
		if !ok {
			return nil, "", contract.Invalid("--reload: server %q is not known", name)
		}
		reload = &s
	}
	if check = a.Option("check"); check != "" {
		if err := validURL(check, "http"); err != nil {
			return nil, "", contract.Invalid("--check %q: %v", check, err)
		}
	}
	return reload, check, nil
}

// webUsers are whom distributions have their web servers run as.
var webUsers = []string{"www-data", "nginx", "apache", "http", "nobody"}

// ownerOf is whose the files of releases are, and who builds them: never root.
func ownerOf(root, name string) (users.User, error) {
	if name != "" {
		u, err := users.Find(root, name)
		if err == nil && u.UID == 0 && os.Geteuid() == 0 {
			err = &jem.Error{Code: "denied", Reason: "--owner: releases are not root's: who builds them would be root",
				Next: "name another user"}
		}
		return u, err
	}
	for _, n := range webUsers {
		if u, err := users.Find(root, n); err == nil {
			return u, nil
		}
	}
	return users.User{Name: "nobody", UID: 65534, GID: 65534}, nil
}

// deployment is one that is under way.
type deployment struct {
	c        *contract.Call
	p        plan
	kept     []release
	made     release // not yet among kept
	before   string  // what was shown; "" is nothing
	switched bool
	reloaded bool
}

// steps are those of every deployment; fill puts the application into a directory that is its owner's: into, at dir.
func (d *deployment) steps(pre func(ctx context.Context) error, fill func(ctx context.Context, into *os.Root, dir string) error,
) contract.Steps {
	c, p := d.c, d.p
	c.Hooks.As = p.owner.As()
	c.Hooks.Env = []string{"JEM_CONTEXT=" + p.context, "JEM_LINK=" + p.link()}
	return contract.Steps{
		Pre: func(ctx context.Context) (err error) {
			if err = errors.Join(sweepKeys(c.Root), p.open(true)); err != nil {
				return err
			}
			if d.before, err = p.shown(); err != nil {
				return err
			}
			if d.kept, err = p.load(); err != nil {
				return err
			}
			if p.reload != nil && p.reload.Program(c.Root) == "" {
				return &jem.Error{Code: "unavailable", Reason: "this container has no " + p.reload.Name, Next: "leave --reload out"}
			}
			return pre(ctx)
		},
		Do: func(ctx context.Context) error {
			p.settle(ctx)
			if err := p.sweep(d.kept, d.before); err != nil {
				return err
			}
			d.made.ID, d.made.When = p.next(c.Now(), d.kept), c.Now().UTC()
			if err := p.make(d.made.ID, p.owner); err != nil {
				return err
			}
			into, err := p.home.OpenRoot(d.made.ID)
			if err != nil {
				return err
			}
			defer into.Close()
			dir := p.dir(d.made.ID)
			if err := fill(ctx, into, dir); err != nil {
				return err
			}
			c.Hooks.Dir = dir
			c.Hooks.Env = append(c.Hooks.Env, "JEM_RELEASE="+dir)
			if err := d.build(ctx, dir); err != nil {
				return err
			}
			if err := errors.Join(c.Was(filepath.Join(c.Root, web, p.context)),
				c.Was(filepath.Join(c.Root, web, own, p.context, record))); err != nil {
				return err
			}
			if err := p.store(append(d.kept, d.made)); err != nil { // before it is shown: what is shown is always known
				return err
			}
			d.switched = true
			return p.show(d.made.ID)
		},
		Post: func(ctx context.Context) error {
			if err := shows(ctx, c, p.reload, p.check, &d.reloaded); err != nil {
				return err
			}
			c.Done("release %s of %s is shown", d.made.ID, p.context)
			return nil
		},
		Undo: func(ctx context.Context) error { return d.back(ctx) },
		Cleanup: func() {
			defer p.close()
			if d.switched {
				if shown, err := p.shown(); err == nil && shown == d.made.ID {
					if p.keep == 1 { // what was shown until now goes
						p.settle(context.Background())
					}
					p.drop(append(d.kept, d.made), shown, p.keep)
				}
			}
		},
	}
}

// build runs what builds the application, as its owner.
func (d *deployment) build(ctx context.Context, dir string) error {
	said, err := hook.Run(ctx, d.c.Root, d.c.Hooks, hook.Build)
	d.c.Said(said)
	if err != nil || d.p.build == "" {
		return err
	}
	sh := program.Find(d.c.Root, "sh")
	if sh == "" {
		return program.Lacks("--build", "sh")
	}
	said, err = program.Run(ctx, program.Command{Path: sh, Args: []string{"-e", "-c", d.p.build}, Dir: dir, As: d.p.owner.As(),
		Env: append(d.c.Hooks.Env, "HOME="+dir)})
	d.c.Said(said)
	if err != nil {
		return &jem.Error{Code: "unavailable", Reason: "build: " + err.Error(), Next: "see what it wrote, correct it, then try again"}
	}
	return nil
}

// shows has the server show what the link names now, and looks whether it does. reloaded is set when the server was told.
func shows(ctx context.Context, c *contract.Call, reload *server.Server, check string, reloaded *bool) error {
	if reload != nil {
		if err := service.Reload(ctx, c, reload.Called(c.Root)); err != nil {
			return err
		}
		*reloaded = true
	}
	if check == "" {
		return nil
	}
	return answers(ctx, check)
}

// back shows what was shown before, and throws the new release away; if that was shown, somebody may just be reading it: it goes with the
// next deployment.
func (d *deployment) back(ctx context.Context) error {
	var err error
	if d.switched {
		err = d.p.show(d.before)
		if d.reloaded && d.before != "" {
			err = errors.Join(err, service.Reload(ctx, d.c, d.p.reload.Called(d.c.Root)))
		}
		err = errors.Join(err, d.p.store(d.kept))
	}
	if d.made.ID != "" && !d.switched {
		err = d.p.home.RemoveAll(d.made.ID)
	}
	return err
}

func fromArchive(c *contract.Call) (contract.Steps, error) {
	p, a, err := planOf(c, 1, "url URL", "sha256 HEX", "strip N")
	if err != nil {
		return contract.Steps{}, err
	}
	strip, err := a.Number("strip", 0, 0, 20)
	if err != nil {
		return contract.Steps{}, err
	}
	url, sum := a.Option("url"), strings.ToLower(a.Option("sha256"))
	if url != "" {
		if err := validURL(url, "https", "http"); err != nil {
			return contract.Steps{}, contract.Invalid("--url %q: %v", url, err)
		}
	}
	if sum != "" && !sumForm.MatchString(sum) {
		return contract.Steps{}, contract.Invalid("--sha256 %q: want 64 digits 0-9 a-f", sum)
	}
	d := &deployment{c: c, p: p}
	var src *os.File
	steps := d.steps(func(ctx context.Context) (err error) {
		d.made.Source = "archive"
		if url != "" {
			d.made.Source = plainURL(url)
			src, err = fetch(ctx, c, url, p.owner.As())
		} else {
			src, err = unpack.Source(ctx, c, "")
		}
		if err == nil && sum != "" {
			err = sameSum(src, sum)
		}
		return err
	}, func(ctx context.Context, into *os.Root, _ string) error {
		_, err := unpack.Into(ctx, src, into, archive.Limits{Bytes: unpack.Room(c.Told), Entries: unpack.MaxEntries, Strip: strip,
			UID: int(p.owner.UID), GID: int(p.owner.GID)})
		return err
	})
	cleanup := steps.Cleanup
	steps.Cleanup = func() {
		cleanup()
		if src != nil {
			src.Close()
		}
	}
	return steps, nil
}

func list(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	return contract.Steps{Do: func(context.Context) error {
		contexts := a.Rest
		if len(contexts) == 0 {
			entries, _ := os.ReadDir(filepath.Join(c.Root, web, own))
			for _, e := range entries[:min(len(entries), 200)] {
				if contextForm.MatchString(e.Name()) {
					contexts = append(contexts, e.Name())
				}
			}
		}
		c.Reply.Columns = []string{"context", "release", "shown", "when", "source", "commit"}
		for _, name := range contexts {
			if err := rows(c, name); err != nil {
				return err
			}
		}
		c.Done("%d releases", len(c.Reply.Items))
		return nil
	}}, nil
}

// rows lists the releases of a context.
func rows(c *contract.Call, name string) error {
	p, err := placeOf(c, name)
	if err == nil {
		err = p.open(false)
	}
	if err != nil {
		return err
	}
	defer p.close()
	shown, _ := p.shown()
	kept, err := p.load()
	if err != nil {
		return err
	}
	for _, r := range kept {
		yes := ""
		if r.ID == shown {
			yes = "yes"
		}
		c.Row(name, r.ID, yes, r.When.Format(time.RFC3339), r.Source, r.Commit)
	}
	return nil
}

func undo(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1, "to RELEASE", "reload SERVER", "check URL")
	if err != nil {
		return contract.Steps{}, err
	}
	p, err := placeOf(c, a.Rest[0])
	if err != nil {
		return contract.Steps{}, err
	}
	reload, check, err := after(a)
	before, to, reloaded := "", "", false
	return contract.Steps{
		Cleanup: p.close,
		Pre: func(context.Context) error {
			if err := p.open(false); err != nil {
				return err
			}
			kept, err := p.load()
			if err != nil {
				return err
			}
			if before, err = p.shown(); err != nil {
				return err
			}
			if to = a.Option("to"); to == "" {
				for i, r := range kept {
					if r.ID == before && i > 0 {
						to = kept[i-1].ID
					}
				}
				if to == "" {
					return &jem.Error{Code: "not_found", Reason: fmt.Sprintf("no release of %s is kept from before the one that is shown",
						p.context),
						Next: "jem deploy list " + p.context}
				}
			}
			if !has(kept, to) {
				return &jem.Error{Code: "not_found", Reason: fmt.Sprintf("there is no release %q of %s", to, p.context),
					Next: "jem deploy list " + p.context}
			}
			return nil
		},
		Do: func(context.Context) error {
			if err := c.Was(filepath.Join(c.Root, web, p.context)); err != nil {
				return err
			}
			return p.show(to)
		},
		Post: func(ctx context.Context) error {
			if err := shows(ctx, c, reload, check, &reloaded); err != nil {
				return err
			}
			c.Done("release %s of %s is shown", to, p.context)
			return nil
		},
		Undo: func(ctx context.Context) error {
			err := p.show(before)
			if reloaded {
				err = errors.Join(err, service.Reload(ctx, c, reload.Called(c.Root)))
			}
			return err
		},
	}, err
}

func prune(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1, "keep N")
	if err != nil {
		return contract.Steps{}, err
	}
	keep, err := a.Number("keep", 1, 1, maxKeep)
	if err != nil {
		return contract.Steps{}, err
	}
	p, err := placeOf(c, a.Rest[0])
	if err != nil {
		return contract.Steps{}, err
	}
	return contract.Steps{Cleanup: p.close, Do: func(ctx context.Context) error {
		if err := p.open(false); err != nil {
			return err
		}
		p.settle(ctx)
		kept, err := p.load()
		if err != nil {
			return err
		}
		shown, err := p.shown()
		if err != nil {
			return err
		}
		if err := p.sweep(kept, shown); err != nil {
			return err
		}
		left, err := p.drop(kept, shown, keep)
		c.Done("%s releases are kept, %d are gone", strconv.Itoa(left), len(kept)-left)
		return err
	}}, nil
}

func remove(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	p, err := placeOf(c, a.Rest[0])
	if err != nil {
		return contract.Steps{}, err
	}
	return contract.Steps{Cleanup: p.close, Do: func(context.Context) error {
		if err := p.open(false); err != nil {
			return err
		}
		if p.home == nil {
			return &jem.Error{Code: "not_found", Reason: "there is no application " + p.context, Next: "jem deploy list"}
		}
		if _, err := p.shown(); err != nil {
			return err
		}
		err := p.show("")
		if err == nil {
			err = p.own.RemoveAll(p.context)
		}
		if err == nil {
			c.Done("%s is gone", p.context)
		}
		return err
	}}, nil
}
