//go:build qemu

package pxe

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

const config = `version: 1
name: host-1
role: user
network: {}
`

var trees struct {
	sync.Mutex
	made map[string]bool
}

// tree is a copy of what make goal (pxe or pxe-metal) made, with a configuration; "" is none. Its dnsmasq.conf is for this site, and
// gives out addresses.
func tree(t *testing.T, goal, yaml string) (dir string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	trees.Lock()
	defer trees.Unlock()
	if !trees.made[goal] {
		cmd := exec.Command("make", "--no-print-directory", "-s", goal)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", goal, err, out)
		}
		trees.made = map[string]bool{goal: true}
	}
	dir = filepath.Join(harness.Dir(t), "tree")
	from := filepath.Join(root, "out/media", map[string]string{"pxe": "pxe", "pxe-metal": "metal-pxe"}[goal])
	if out, err := exec.Command("cp", "-r", from, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the tree: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "dnsmasq.conf"))
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("ADDRESS", siteAddr, "FOLDER", dir).Replace(string(raw)) +
		"port=0\nuser=root\nno-ping\nlog-dhcp\ndhcp-range=10.88.0.50,10.88.0.99,1h\ndhcp-leasefile=" + filepath.Join(dir, "leases") + "\n"
	write(t, filepath.Join(dir, "dnsmasq.conf"), conf)
	if yaml != "" {
		write(t, filepath.Join(dir, "hardnode.yaml"), yaml)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// dnsmasq runs the site's DHCP and TFTP server.
func dnsmasq(tree string) string {
	return "dnsmasq --keep-in-foreground --log-facility=- --conf-file=" + filepath.Join(tree, "dnsmasq.conf")
}

// machine is a machine with one card on the switch and a blank disk, that boots from the network.
func machine(t *testing.T, sw *ether.Switch) harness.Config {
	dir := harness.Dir(t)
	return harness.Config{Name: "host-1", MemMiB: 1024, Dir: dir, Timeout: 20 * time.Minute * harness.Scale(),
		Disks: []harness.Disk{{Path: filepath.Join(dir, "disk"), SizeMiB: 1024}},
		NICs:  []harness.NIC{{Switch: sw, Boot: true, MAC: "52:54:00:aa:00:01"}}, Reboot: true,
		FwCfg: map[string][]byte{},
		Extra: []string{"-machine", "graphics=off"}} // SeaBIOS and iPXE then show on the serial port what they show on a screen
}

// host is a running machine and the place in its console up to which the test has read.
type host struct {
	*testing.T
	*harness.VM
	mark int
}

func start(t *testing.T, c harness.Config) *host {
	t.Helper()
	vm, err := harness.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Kill)
	return &host{t, vm, 0}
}

// sees waits for a line of the console, after what was seen before, and returns the pattern's groups.
func (h *host) sees(pattern string) []string {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(h.T.Context(), 200*time.Second*harness.Scale())
	defer cancel()
	m, err := h.VM.WaitAfter(ctx, h.mark, pattern)
	if err != nil {
		h.T.Fatal(err)
	}
	return m
}

func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: boots from the network are in `make soak PKG=./qemu-tests/pxe`")
	}
}

// TestPXE: beside a site's own dnsmasq, as the tree's dnsmasq.conf has it, each kind of firmware boots a host from the network.
func TestPXE(t *testing.T) {
	soak(t)
	for _, m := range []struct {
		name, goal string
		uefi       bool
		first      string   // what the firmware loads first
		site       []string // more lines of dnsmasq.conf
		fw         string   // OVMF's setting that is switched off
		model      string
	}{
		{name: "BIOS and a card with iPXE", goal: "pxe", first: `http: done /host.ipxe`},
		{name: "BIOS and undionly.kpxe", goal: "pxe", first: `sent .*/undionly.kpxe`, site: []string{"dhcp-boot=undionly.kpxe"}},
		{name: "UEFI PXE", goal: "pxe", uefi: true, first: `sent .*/snponly.efi`},
		{name: "UEFI HTTP", goal: "pxe", uefi: true, first: `http: done /snponly.efi`, fw: "opt/org.tianocore/IPv4PXESupport"},
		{name: "server with BIOS and e1000e", goal: "pxe-metal", first: `http: done /host.ipxe`, model: "e1000e"},
	} {
		t.Run(m.name, func(t *testing.T) {
			dir, sw := tree(t, m.goal, config), ether.NewSwitch()
			conf := filepath.Join(dir, "dnsmasq.conf")
			whole, err := os.ReadFile(conf)
			if err != nil {
				t.Fatal(err)
			}
			if m.site != nil { // the card's own iPXE passes for a PXE program of the vendor's
				write(t, conf, strings.ReplaceAll(string(whole), "dhcp-boot=tag:ipxe,", "#")+strings.Join(m.site, "\n")+"\n")
			}
			s := open(t, sw, dir, dnsmasq(dir))
			c := machine(t, sw)
			c.UEFI, c.NICs[0].Model = m.uefi, m.model
			if m.model != "" {
				c.Disks[0].Bus = harness.AHCI
			}
			if m.fw != "" {
				c.FwCfg[m.fw] = []byte("n")
			}
			h := start(t, c)
			s.sees(0, m.first)
			if m.site != nil {
				s.close()
				write(t, conf, string(whole))
				s = open(t, sw, dir, dnsmasq(dir))
			}
			s.sees(0, `http: done /host.initrd`)
			h.sees(`step config: host host-1, role user`)
			h.sees(`step data: /dev/(v|s)da:`)
			h.sees(`step boot count:`)
			t.Logf("power on to the end of the boot: %.1f s", time.Since(h.VM.Started).Seconds())
		})
	}
}
