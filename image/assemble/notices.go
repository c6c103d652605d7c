package assemble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// noticesFile is where every image carries the licences of the Go modules its programs are built from, the components' included.
const noticesFile = "usr/share/doc/hardnode/NOTICES"

// Notices makes cache/NOTICES with tools/notices. It is kept by the digest of go.mod, the compiler and the list of programs.
func (b Builder) Notices(ctx context.Context) (string, error) {
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
	out := b.path("cache", "NOTICES")
	st := stamp{file: out + ".stamp", inputs: digest("notices 1", mod, string(compiler), strings.Join(args, " ")), outputs: []string{out}}
	if st.fresh() {
		return out, nil
	}
	text, err := goTool(ctx, args...)
	if err != nil {
		return "", fmt.Errorf("write notices: %v", err)
	}
	if err := os.MkdirAll(b.path("cache"), 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %v", err)
	}
	if err := replace(out, text, 0o644); err != nil {
		return "", err
	}
	return out, st.mark()
}
