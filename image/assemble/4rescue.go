package assemble

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// rescuePkg names the busybox among the programs.
const rescuePkg = "u-root/bb"

// rescue lists the u-root commands an operator has on the console of a host that went wrong. They are one busybox.
// The shell has no line editing: that would be three more modules.
var rescue = strings.Fields(
	"cat chmod cp df dmesg du echo find free gosh grep head hexdump hostname ip kill ln losetup ls lsmod mkdir more " +
		"mount mv netstat ping ps pwd rm shasum sleep sync tail tee umount uname wc")

// Rescue builds the busybox into cache/bb. It takes a minute and a half cold, so it is kept by the digest of what it is made from.
func (b Builder) Rescue(ctx context.Context) (string, error) {
	version, err := goTool(ctx, "list", "-m", "-f", "{{.Version}}", "github.com/u-root/u-root")
	if err != nil {
		return "", fmt.Errorf("find u-root: %v", err)
	}
	compiler, err := goTool(ctx, "env", "GOVERSION")
	if err != nil {
		return "", fmt.Errorf("ask for Go's version: %v", err)
	}
	bb := b.path("cache", "bb")
	st := stamp{file: bb + ".stamp", inputs: digest("bb 1", string(version), string(compiler), strings.Join(rescue, " ")),
		outputs: []string{bb}}
	if st.fresh() {
		return bb, nil
	}
	b.Log("rescue: build %d u-root commands (a minute or two, once)", len(rescue))
	if err := os.MkdirAll(b.path("cache"), 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %v", err)
	}
	archive := bb + ".cpio"
	defer os.Remove(archive)
	args := []string{"tool", "u-root", "-build=gbb", "-tags=goshsmall", "-initcmd=", "-defaultsh=", "-o", archive}
	for _, c := range rescue {
		args = append(args, "github.com/u-root/u-root/cmds/core/"+c)
	}
	if _, err := goTool(ctx, args...); err != nil {
		return "", fmt.Errorf("build rescue commands: %v", err)
	}
	data, err := cpioFile(archive, "bbin/bb")
	if err != nil {
		return "", err
	}
	if err := replace(bb, data, 0o755); err != nil {
		return "", err
	}
	return bb, st.mark()
}

// cpioFile reads one file out of an archive.
func cpioFile(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("open archive: %v", err)
	}
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		return nil, fmt.Errorf("read archive %q: %v", archive, err)
	}
	for _, r := range records {
		if r.Name == name {
			return io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		}
	}
	return nil, fmt.Errorf("read archive %q: no file %q", archive, name)
}
