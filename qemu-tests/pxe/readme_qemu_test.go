//go:build qemu

package pxe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// commands are the lines of the README's section that are commands, block by block.
func commands(t *testing.T, root, section string) (blocks [][]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## "+section+"\n")
	if !found {
		t.Fatalf("the README has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	inside := false
	for line := range strings.Lines(text) {
		command, is := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case is && !inside:
			blocks = append(blocks, nil)
			fallthrough
		case is:
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], command)
		}
		inside = is
	}
	return blocks
}

// TestReadme: what the README says of the way from bare servers to a cluster, each command run exactly as it is written there: an infra
// host and a user host from their ISOs, and a machine from the network that nobody knows, with netboot as the only DHCP server.
func TestReadme(t *testing.T) {
	soak(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	blocks := commands(t, root, "From bare servers to a cluster")
	if len(blocks) != 4 || len(blocks[2]) != 3 || len(blocks[3]) != 2 {
		t.Fatalf("the README's commands are %q", blocks)
	}
	for _, made := range []string{"jls", "cluster", "example.licence", "leases.json"} { // by this test before: they hold nothing of worth
		if err := os.RemoveAll(filepath.Join(root, "out", made)); err != nil {
			t.Fatal(err)
		}
	}
	sw := ether.NewSwitch()
	admin := openAt(t, sw, "10.77.0.9", "")
	setting := "true"
	do := func(line string) string {
		t.Helper()
		if strings.HasPrefix(line, "export ") {
			setting += "; " + line
			return ""
		}
		began := time.Now()
		cmd := admin.command(t.Context(), "bash", "-c", setting+"; "+line)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		t.Logf("$ %s (%.1f s)", line, time.Since(began).Seconds())
		return string(out)
	}
	until := func(line, want string) string {
		t.Helper()
		out := ""
		for end := time.Now().Add(200 * time.Second * harness.Scale()); time.Now().Before(end); run.Wait(t.Context(), time.Second) {
			cmd := admin.command(t.Context(), "bash", "-c", setting+"; "+line)
			cmd.Dir = root
			raw, _ := cmd.CombinedOutput()
			if out = string(raw); regexp.MustCompile(want).MatchString(out) {
				t.Logf("$ %s\n%s", line, out)
				return out
			}
		}
		t.Fatalf("%s never said %q:\n%s", line, want, out)
		return ""
	}
	for _, line := range blocks[0] {
		do(line)
	}
	boots := func(name, iso, mac string) harness.Config {
		c := machine(t, sw)
		c.Name, c.NICs[0].MAC, c.Disks[0].SizeMiB = name, mac, 4096
		if iso != "" {
			own := filepath.Join(c.Dir, "iso")
			if out, err := exec.Command("cp", filepath.Join(root, "out/media", iso), own).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			c.NICs[0].Boot = false
			c.Disks = slices.Insert(c.Disks, 0, harness.Disk{Path: own, Bus: harness.CD, ReadOnly: true})
		}
		return c
	}
	infra := boots("infra", "infra.iso", "52:54:00:00:00:02")
	infra.MemMiB = 2048
	begun := start(t, infra).VM.Started
	start(t, boots("host-1", "host.iso", "52:54:00:00:00:11"))
	do(blocks[1][0])
	until(blocks[1][1], `(?m)^host-1 .*ACTIVE`)
	t.Logf("FIGURE power on of the infra host and a user host → the user host ACTIVE: %.1f s", time.Since(begun).Seconds())
	for _, line := range blocks[2][:2] {
		do(line)
	}
	served := openAt(t, sw, "10.77.0.8", "", fmt.Sprintf("env -C %s %s", root, blocks[2][2]))
	served.sees(0, `msg=serving`)
	stranger := start(t, boots("host-2", "", "52:54:00:00:00:12"))
	code := stranger.sees(`WAITING TO BE ADMITTED \| code ([A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4})`)[1]
	until(blocks[3][0], code)
	do(strings.Replace(blocks[3][1], "CODE", code, 1))
	until(blocks[1][1], `(?m)^host-2 .*ACTIVE`)
	t.Logf("FIGURE power on → ACTIVE of a machine that nobody knew: %.1f s", time.Since(stranger.VM.Started).Seconds())
}
