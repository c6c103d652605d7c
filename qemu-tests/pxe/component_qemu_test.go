//go:build qemu

package pxe

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// bar is how long a stranger may take from power on to serving a container, under software emulation.
const bar = 90 * time.Second

// infra is a cluster of the infra host alone, beside a site's DHCP server that knows nothing of it.
type infra struct {
	*cluster.Cluster
	t    *testing.T
	site *site
}

func (i *infra) hnctl(args ...string) []byte {
	i.t.Helper()
	out, err := i.HNCTL(i.t.Context(), args...)
	if err != nil {
		i.t.Fatalf("hnctl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// until asks hnctl until the answer is as it is waited for.
func until[T any](i *infra, what string, is func(T) bool, args ...string) (v T) {
	i.t.Helper()
	var last error
	for end := time.Now().Add(200 * time.Second * harness.Scale()); time.Now().Before(end); run.Wait(i.t.Context(), 200*time.Millisecond) {
		out, err := i.HNCTL(i.t.Context(), append(args, "-o", "json")...)
		if last = err; err != nil {
			continue
		}
		v = *new(T)
		if err := json.Unmarshal(out, &v); err != nil {
			i.t.Fatalf("hnctl %s: %v in %s", strings.Join(args, " "), err, out)
		}
		if is(v) {
			return v
		}
	}
	i.t.Fatalf("never: %s; hnctl %s said last %+v, %v", what, strings.Join(args, " "), v, last)
	return v
}

// foundedInfra starts it, with releases imported that have the files of folders, and netboot switched on for one of them.
func foundedInfra(t *testing.T, served string, releases map[string]string) *infra {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Alone: true, Seats: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	i := &infra{Cluster: c, t: t}
	dir := t.TempDir()
	var is operator.Cluster
	if err := json.Unmarshal(i.hnctl("cluster", "status", "-o", "json"), &is); err != nil {
		t.Fatal(err)
	}
	p := released.Both(t, is.ID, time.Now().Add(24*time.Hour))
	for version, folder := range releases {
		publish(t, p, version, folder)
	}
	bundle := filepath.Join(dir, "bundle")
	if err := os.WriteFile(bundle, p.Bundle(t, p.Targets()...), 0o600); err != nil {
		t.Fatal(err)
	}
	enable := []string{"cluster", "netboot", "enable", "--interface", "underlay", "--for", "all", "--target", "vm", "--release", served}
	if out, err := i.HNCTL(t.Context(), enable...); err == nil ||
		!strings.Contains(err.Error(), "was not imported") {
		t.Errorf("without a release: %s, %v", out, err)
	}
	i.hnctl("release", "trust", "--yes", "--image-pin", string(p.Image.Anchor().Pin), "--director-pin",
		string(p.Director.Anchor().Pin))
	i.hnctl("release", "import", bundle)
	i.hnctl(enable...)
	n := until(i, "netboot runs", func(n operator.Netboot) bool { return n.State == "running" }, "cluster", "netboot", "show")
	if n.Serves != served || n.CTID != 8 {
		t.Errorf("netboot is %+v", n)
	}
	i.waitLog("all files are here")

	conf := filepath.Join(dir, "dnsmasq.conf")
	write(t, conf, "port=0\nuser=root\nno-ping\nlog-dhcp\ndhcp-range=10.77.0.100,10.77.0.150,1h\ndhcp-leasefile="+
		filepath.Join(dir, "leases")+"\n")
	i.site = openAt(t, c.Switch, "10.77.0.1", "", "dnsmasq --keep-in-foreground --log-facility=- --conf-file="+conf)
	return i
}

// publish has both repositories name a release that has the files of a folder.
func publish(t *testing.T, p *released.Pair, version, folder string) {
	t.Helper()
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Dev, Severity: release.Normal, Arch: release.Arch}
	for name, kind := range map[string]release.Kind{"vmlinuz": release.Kernel, "host.initrd": release.Initrd, "cmdline": release.Cmdline} {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		a := release.Artefact{Name: "vm-" + name, Kind: kind, Target: release.VM, Bytes: int64(len(raw)),
			Digest: wire.DigestOf(sha256.Sum256(raw))}
		if kind == release.Initrd && bytes.Contains(raw, []byte(rootName)) {
			_, root := rootOf(t, raw)
			a.Profile, a.Root = release.Host, wire.DigestOf(sha256.Sum256(root))
		}
		m.Artefacts = append(m.Artefacts, a)
		p.Release(t, version, a.Name, string(raw))
	}
	slices.SortFunc(m.Artefacts, func(x, y release.Artefact) int { return strings.Compare(x.Name, y.Name) })
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.Release(t, version, release.ManifestFile, string(text))
}

// waitLog waits for words in the component's log.
func (i *infra) waitLog(words string) {
	i.t.Helper()
	var log string
	for end := time.Now().Add(120 * time.Second * harness.Scale()); time.Now().Before(end); run.Wait(i.t.Context(), 500*time.Millisecond) {
		if log, _ = i.Logs(i.t.Context(), "netboot"); strings.Contains(log, words) {
			return
		}
	}
	i.t.Fatalf("netboot never said %q:\n%s", words, log)
}

// TestComponent: the infra host, beside a site's own DHCP server, boots machines that nobody knows over the network, with each kind of
// firmware; each shows its code, is admitted and is ACTIVE; the first serves a container, in time, the last one comes after the infra host
// lost its power. When netboot is switched off, its component is removed.
func TestComponent(t *testing.T) {
	soak(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	i := foundedInfra(t, "1.4.0", map[string]string{"1.4.0": filepath.Join(root, "out/image")})
	if _, err := i.PushTemplate(t.Context(), "nginx"); err != nil {
		t.Fatal(err)
	}
	var table []string
	for n, m := range []struct {
		name   string
		uefi   bool
		first  string // what netboot says first
		fw     string // OVMF's setting that is switched off
		serves bool
		cut    bool // the infra host's power, before
	}{
		{name: "BIOS PXE (iPXE)", first: "/1.4.0/host.ipxe", serves: true},
		{name: "UEFI PXE", uefi: true, first: "has snponly.efi"},
		{name: "UEFI HTTP", uefi: true, first: "path=/snponly.efi", fw: "opt/org.tianocore/IPv4PXESupport", cut: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			i := &infra{i.Cluster, t, i.site}
			c := machine(t, i.Switch)
			c.Name = fmt.Sprintf("stranger-%d", n+1)
			c.Disks[0].SizeMiB, c.UEFI, c.NICs[0].MAC = 4096, m.uefi, fmt.Sprintf("52:54:00:aa:00:%02x", n+1)
			if m.fw != "" { // PXE by IPv6 comes before HTTP, and has its own time-outs
				c.FwCfg[m.fw], c.FwCfg["opt/org.tianocore/IPv6PXESupport"] = []byte("n"), []byte("n")
			}
			if m.cut {
				i.Infra.Kill()
				if err := i.Infra.Boot(); err != nil {
					t.Fatal(err)
				}
				until(i, "netboot runs again", func(n operator.Netboot) bool { return n.State == "running" && n.Serves == "1.4.0" },
					"cluster", "netboot", "show")
			}
			h := start(t, c)
			code := h.sees(`WAITING TO BE ADMITTED \| code ([A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4})`)[1]
			shown := time.Since(h.VM.Started)
			i.waitLog(m.first)
			seen := until(i, "it waits", func(l []operator.WaitingHost) bool { return len(l) == 1 }, "host", "waiting")[0]
			if seen.Code != code || seen.MACs[0] != c.NICs[0].MAC {
				t.Errorf("the console shows %s, hnctl host waiting %+v", code, seen)
			}
			i.hnctl("host", "admit", code, "--name", c.Name)
			until(i, "it is ACTIVE", func(l []operator.Host) bool {
				return slices.ContainsFunc(l, func(h operator.Host) bool { return h.Name == c.Name && h.State == operator.HostActive })
			}, "host", "list")
			active := time.Since(h.VM.Started)
			row := fmt.Sprintf("%-16s code %.1f s, ACTIVE %.1f s", m.name, shown.Seconds(), active.Seconds())
			if m.serves {
				if err := i.Hello(t.Context()); err != nil {
					t.Fatal(err)
				}
				took := time.Since(h.VM.Started)
				if row += fmt.Sprintf(", serves a container %.1f s", took.Seconds()); took > bar {
					t.Errorf("a stranger serves after %.1f s, want %v at most", took.Seconds(), bar)
				}
			}
			table = append(table, row)
		})
	}
	for _, row := range table {
		t.Logf("FIGURE from power on: %s", row)
	}
	i.hnctl("cluster", "netboot", "disable")
	until(i, "its component is gone", func(n operator.Netboot) bool { return n.State == "" }, "cluster", "netboot", "show")
}
