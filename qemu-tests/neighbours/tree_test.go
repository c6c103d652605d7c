//go:build qemu

package neighbours

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hardnode.dev/qemu-tests/cluster"
)

// earlier is the commit of the version that this one must get on with: the last that landed. HARDNODE_NEIGHBOUR names another.
//
//go:embed earlier
var earlier string

// mark is the version that the earlier tree's programs call themselves, so that a test sees which one runs.
const mark = "0.0.0-earlier"

// errNoHistory: the clone is a shallow one.
var errNoHistory = errors.New("this clone's history does not have it (git fetch --unshallow)")

// earlierTree is the root of the earlier version's tree, with all of it built. It is made once and kept in out/neighbours.
func earlierTree(ctx context.Context, root string, tell func(string, ...any)) (string, error) {
	commit := strings.TrimSpace(earlier)
	if c := os.Getenv("HARDNODE_NEIGHBOUR"); c != "" {
		commit = c
	}
	if err := command(ctx, root, "git", "cat-file", "-e", commit+"^{commit}"); err != nil {
		return "", fmt.Errorf("commit %s: %w", commit, errNoHistory)
	}
	tree := filepath.Join(root, "out", "neighbours", commit)
	if _, err := os.Stat(tree); err != nil {
		part := tree + ".part"
		if err := os.RemoveAll(part); err != nil {
			return "", err
		}
		if err := command(ctx, root, "git", "clone", "--quiet", "--shared", "--no-checkout", root, part); err != nil {
			return "", err
		}
		if err := command(ctx, part, "git", "checkout", "--quiet", "--detach", commit); err != nil {
			return "", err
		}
		if err := stampVersion(part); err != nil {
			return "", err
		}
		if err := os.Rename(part, tree); err != nil {
			return "", err
		}
	}
	return tree, makeAll(ctx, tree, tell)
}

// stampVersion makes the tree's programs say that they are the earlier ones.
func stampVersion(tree string) error {
	for _, at := range []struct{ file, version, stamped string }{
		{"image/release/release.yaml", "version: 0.1.0-dev", "version: " + mark},
		{"internal/build/build.go", `var Version = "0.1.0-dev"`, `var Version = "` + mark + `"`}, // of trees older than that file
	} {
		file := filepath.Join(tree, at.file)
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if stamped := bytes.Replace(raw, []byte(at.version), []byte(at.stamped), 1); !bytes.Equal(raw, stamped) {
			return os.WriteFile(file, stamped, 0o644)
		}
	}
	return fmt.Errorf("%s: no version to stamp", tree)
}

// makeAll brings a tree's out/ up to date.
func makeAll(ctx context.Context, tree string, tell func(string, ...any)) error {
	for _, target := range []string{"bin", "image", "templates"} {
		if err := cluster.Make(ctx, tree, target, tell); err != nil {
			return fmt.Errorf("%s: %w", tree, err)
		}
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
