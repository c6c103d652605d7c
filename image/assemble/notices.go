package assemble

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"hardnode.dev/image/debian"
)

// noticesFile is where every image carries the notices of all it holds by others: the Go modules its programs are built from, the
// components' included, and the Debian packages it has files of.
const noticesFile = "usr/share/doc/hardnode/NOTICES"

// Notices makes the file out: of Go modules with tools/notices, those of the folders also among them, then of the Debian packages. It is
// kept by the digest of go.mod, the compiler, the list of programs and the packages.
func (b Builder) Notices(ctx context.Context, out string, pkgs []debian.Package, also ...string) (string, error) {
	root, err := goTool(ctx, "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", fmt.Errorf("find the module: %v", err)
	}
	mod, err := fileDigest(filepath.Join(strings.TrimSpace(string(root)), "go.mod"))
	if err != nil {
		return "", err
	}
	compiler, err := goTool(ctx, "env", "GOVERSION")
	if err != nil {
		return "", fmt.Errorf("ask for Go's version: %v", err)
	}
	args := []string{"run", "hardnode.dev/tools/notices", "github.com/u-root/u-root/cmds/core/ip", "mvdan.cc/sh/v3/interp"}
	for _, p := range programs {
		args = append(args, "hardnode.dev/"+p.Pkg)
	}
	for _, c := range components {
		args = append(args, "hardnode.dev/"+c.Pkg)
	}
	for _, p := range also {
		args = append(args, "hardnode.dev/"+p)
	}
	var debs []string
	for _, p := range pkgs {
		debs = append(debs, p.Name+" "+p.SHA256)
	}
	st := stamp{file: out + ".stamp", outputs: []string{out},
		inputs: digest("notices 2", mod, string(compiler), strings.Join(args, " "), strings.Join(debs, " "))}
	if st.fresh() {
		return out, nil
	}
	text, err := goTool(ctx, args...)
	if err != nil {
		return "", fmt.Errorf("write notices: %v", err)
	}
	packages, err := b.archive().Notice(ctx, pkgs)
	if err != nil {
		return "", fmt.Errorf("write notices: %v", err)
	}
	if err := replace(out, append(text, packages...), 0o644); err != nil {
		return "", err
	}
	return out, st.mark()
}
