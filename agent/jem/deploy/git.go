package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"hardnode.dev/agent/jem/archive"
	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// lacksGit: git is the image's own: a library of it would make this program, which every host carries, half as large again.
func lacksGit(root string) string {
	if program.Find(root, "git") == "" {
		return "git"
	}
	return ""
}

var (
	branchForm = form.New(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	scpForm    = form.New(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[A-Za-z0-9._~/-]+$`)
	commitForm = form.New(`^[0-9a-f]{40,64}$`)
)

// gitSchemes are how repositories are reached; others of git's start programs.
var gitSchemes = []string{"https", "http", "ssh", "git", "file"}

// validRepository wants a URL that git takes for nothing else: an option, or a helper's name.
func validRepository(text string) error {
	if scpForm.MatchString(text) {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 2000 || strings.ContainsAny(text, " \t") || strings.HasPrefix(text, "-"):
		return errors.New("is no URL")
	case !slices.Contains(gitSchemes, u.Scheme) || u.Host == "" && u.Scheme != "file" || strings.HasPrefix(u.Host, "-"):
		return errors.New("want https://, http://, ssh://, git:// or user@host:path")
	}
	return nil
}

func fromGit(c *contract.Call) (contract.Steps, error) {
	p, a, err := planOf(c, 2, "branch NAME", "key")
	if err != nil {
		return contract.Steps{}, err
	}
	from, branch := a.Rest[1], a.Option("branch")
	if err := validRepository(from); err != nil {
		return contract.Steps{}, contract.Invalid("repository %q: %v", plainURL(from), err)
	}
	if branch != "" && (!branchForm.MatchString(branch) || strings.Contains(branch, "..")) {
		return contract.Steps{}, contract.Invalid("--branch %q: is no name of a branch or tag", branch)
	}
	var key []byte
	var dir string // of the key, while it is needed
	d := &deployment{c: c, p: p}
	steps := d.steps(func(context.Context) (err error) {
		d.made.Source = plainURL(from)
		if branch != "" {
			d.made.Source += " " + branch
		}
		if a.Has("key") {
			if program.Find(c.Root, "ssh") == "" {
				return program.Lacks("--key", "ssh")
			}
			key, err = c.Given(16 << 10)
		}
		return err
	}, func(ctx context.Context, into *os.Root, to string) (err error) {
		env := []string{"HOME=/nonexistent", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
		if key != nil {
			if dir, err = keyDir(p.root, p.owner, key); err != nil {
				return err
			}
			env = append(env, fmt.Sprintf("GIT_SSH_COMMAND=ssh -F none -i %[1]s/key -o IdentitiesOnly=yes -o BatchMode=yes "+
				"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=%[1]s/known_hosts", dir))
		}
		if d.made.Commit, err = clone(ctx, c, p, from, branch, to, env); err != nil {
			return err
		}
		if err := withoutGit(into); err != nil {
			return err
		}
		if err := archive.LinksInside(ctx, into); err != nil {
			return &jem.Error{Code: "invalid", Reason: "repository: " + err.Error(), Next: "take the link out of the branch"}
		}
		return nil
	})
	cleanup := steps.Cleanup
	steps.Cleanup = func() {
		cleanup()
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	return steps, nil
}

// withoutGit takes away what is git's own, of submodules too: no server should show it.
func withoutGit(dir *os.Root) error {
	var all []string
	err := fs.WalkDir(dir.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != ".git" {
			return err
		}
		if all = append(all, at); d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	for _, at := range all {
		err = errors.Join(err, dir.RemoveAll(at))
	}
	return err
}

// clone has git fetch the branch, as the owner, and says which commit it is.
func clone(ctx context.Context, c *contract.Call, p plan, from, branch, to string, env []string) (string, error) {
	git := program.Find(c.Root, "git")
	args := []string{"-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "protocol.allow=never"}
	for _, s := range gitSchemes {
		may := "always"
		if s == "file" { // what is asked for, and no submodule of it: a stranger's could show what else is in the container
			may = "user"
		}
		args = append(args, "-c", "protocol."+s+".allow="+may)
	}
	args = append(args, "clone", "--quiet", "--depth=1", "--recurse-submodules", "--shallow-submodules")
	if branch != "" {
		args = append(args, "--branch="+branch)
	}
	said, err := program.Run(ctx, program.Command{Path: git, Args: append(args, "--", from, to), Dir: "/", As: p.owner.As(), Env: env})
	if err != nil {
		c.Said(said)
		return "", &jem.Error{Code: "unavailable", Reason: err.Error(), Next: "see whether URL, branch and key are right"}
	}
	var out strings.Builder
	_, err = program.Run(ctx, program.Command{Path: git, Args: []string{"-c", "safe.directory=*", "rev-parse", "HEAD"}, Dir: to,
		As: p.owner.As(), Env: env, Out: &out})
	commit := strings.TrimSpace(out.String())
	if err != nil || !commitForm.MatchString(commit) {
		return "", fmt.Errorf("git does not say which commit it fetched: %v", err)
	}
	return commit, nil
}
