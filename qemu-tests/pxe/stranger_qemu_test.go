//go:build qemu

package pxe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// platform is an orchestrator at the site, and hnctl's configuration for it.
type platform struct {
	*site
	t      *testing.T
	hnctls string // folder of hnctl's configuration
	yaml   string // a host configuration without a token
}

// prepare founds a cluster with a licence for so many hosts, and returns the orchestrator's command line beside the platform.
func prepare(t *testing.T, hosts int) (*platform, string) {
	t.Helper()
	dir := harness.Dir(t)
	c, err := founded.New(hosts, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.Seed.Names = append(c.Seed.Names, siteAddr)
	c.Seed.Infra.Underlay = siteAddr
	seed, err := json.Marshal(c.Seed)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "seed.json"), string(seed))
	write(t, filepath.Join(dir, "hnctl/token"), c.Admin.Reveal()+"\n")
	write(t, filepath.Join(dir, "hnctl/config.yaml"), fmt.Sprintf("version: 1\ncluster: %s\nname: founded\n"+
		"servers: [\"https://%s:7443\"]\ncaPin: %s\ntokenFile: token\n", c.Seed.Cluster, siteAddr, c.Pin))
	if err := os.Chmod(filepath.Join(dir, "hnctl/token"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, hnctls: filepath.Join(dir, "hnctl"), yaml: fmt.Sprintf(
		"version: 1\nrole: user\njoin:\n  cluster: %s\n  endpoints: [\"%s:7444\"]\n  caPin: %s\nnetwork: {}\n",
		c.Seed.Cluster, siteAddr, c.Pin)}
	return p, fmt.Sprintf("%s -seed %s -data %s -clock-scale %d", tool(t, "orchestrator"), filepath.Join(dir, "seed.json"),
		filepath.Join(dir, "data"), harness.Scale())
}

// hnctl runs hnctl at the site.
func (p *platform) hnctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second*harness.Scale())
	defer cancel()
	cmd := p.command(ctx, tool(p.t, "hnctl"), args...)
	cmd.Env = append(os.Environ(), "HNCTL_CONFIG="+p.hnctls)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hnctl %s: %v: %s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return string(out), nil
}

// get asks hnctl until the answer is as it is waited for.
func get[T any](p *platform, what string, is func(T) bool, args ...string) (v T) {
	p.t.Helper()
	var last error
	for end := time.Now().Add(200 * time.Second * harness.Scale()); time.Now().Before(end); run.Wait(p.t.Context(), 200*time.Millisecond) {
		out, err := p.hnctl(append(args, "-o", "json")...)
		if last = err; err != nil {
			continue
		}
		v = *new(T)
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			p.t.Fatalf("hnctl %s: %v in %s", strings.Join(args, " "), err, out)
		}
		if is(v) {
			return v
		}
	}
	p.t.Fatalf("never: %s; hnctl %s said last %+v, %v", what, strings.Join(args, " "), v, last)
	return v
}

// TestStranger: a machine that nobody knows boots from the network beside a site's own DHCP server, shows its code, is seen with the same
// one, is admitted, and is ACTIVE. While the HTTP server is away it says so and tries again.
func TestStranger(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: boots from the network are in `make soak PKG=./qemu-tests/pxe`")
	}
	p, orchestrator := prepare(t, 1)
	dir, sw := tree(t, "pxe", p.yaml), ether.NewSwitch()
	p.site = open(t, sw, dir, dnsmasq(dir), orchestrator)
	h := start(t, machine(t, sw))
	p.sees(0, `http: GET /host.initrd`) // half-way through a file
	p.close()
	h.sees(`Hardnode: kernel or initrd could not be loaded`)
	h.sees(`It is tried again in 5 seconds`)
	p.site = open(t, sw, dir, dnsmasq(dir), orchestrator)
	h.sees(`step config: host without a name yet, role user`)
	code := h.sees(`WAITING TO BE ADMITTED \| code ([A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4})`)[1]
	h.sees(`! join: nobody has admitted this machine yet -> compare code ` + code + ` with hnctl host waiting, then: hnctl host admit ` +
		code)
	seen := get(p, "one machine waits", func(l []operator.WaitingHost) bool { return len(l) == 1 }, "host", "waiting")[0]
	if seen.Code != code || len(seen.MACs) != 1 || seen.MACs[0] != "52:54:00:aa:00:01" || len(seen.Disks) != 1 ||
		!strings.HasPrefix(seen.Disks[0], "vda 1.0 GiB") || !strings.HasPrefix(seen.Model, "QEMU") {
		t.Errorf("the machine that waits is shown as %+v, its console shows %s", seen, code)
	}
	if out, err := p.hnctl("host", "list"); err != nil || !strings.Contains(out, "WAITING") || !strings.Contains(out, code) {
		t.Errorf("hnctl host list: %s, %v", out, err)
	}
	if _, err := p.hnctl("host", "admit", "AAAA-AAAA-AAAA"); err == nil || !strings.Contains(err.Error(), "don't admit it") {
		t.Errorf("a code that nobody shows: %v", err)
	}
	if _, err := p.hnctl("host", "admit", code, "--name", "host-3"); err != nil {
		t.Fatal(err)
	}
	admitted := time.Now()
	l := get(p, "it is ACTIVE", func(l []operator.Host) bool { return len(l) == 1 && l[0].State == operator.HostActive }, "host", "list")
	if l[0].Name != "host-3" || l[0].Code != code {
		t.Errorf("the host is %+v", l[0])
	}
	t.Logf("FIGURE power on to ACTIVE %.1f s, of that %.1f s after it was admitted", time.Since(h.VM.Started).Seconds(),
		time.Since(admitted).Seconds())
	h.sees(`\[host-3\] ACTIVE`)
}
