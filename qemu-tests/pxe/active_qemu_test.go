//go:build qemu

package pxe

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
	"hardnode.dev/qemu-tests/terminal"
)

// way is one way in which a machine comes to be a host. The zero value boots by BIOS from the network, and has one card, a blank disk, a
// serial port and no screen.
type way struct {
	name   string
	uefi   bool
	medium string      // the kind that it boots from: iso, disk; "" is the network
	bus    harness.Bus // of the medium; "" is a CD drive
	http   bool        // by UEFI's HTTP boot: its PXE is switched off
	onto   harness.Bus // of the disk that it is installed onto before, from the medium, and then boots alone
	bare   bool        // without any disk
	screen bool        // a VGA card
	mute   bool        // no serial port
	cards  int         // network cards in the way of the one that leads to the site; they lead nowhere
	model  string      // of the card; "" is the target's own
	typed  bool        // the configuration is typed at a USB keyboard, the only one
	sealed bool        // the medium is sealed with keys of secure boot, and the installation encrypts STATE by the machine's TPM
}

// ways are what each image is booted by, in the order of the table. Those for servers only come last.
var ways = []way{
	{name: "BIOS, ISO as CD", medium: "iso", screen: true},
	{name: "UEFI, ISO as CD", uefi: true, medium: "iso", screen: true},
	{name: "BIOS, PXE by iPXE"},
	{name: "UEFI, PXE", uefi: true, model: "virtio-net-pci"}, // OVMF has no driver of its own for another card
	{name: "UEFI, HTTP", uefi: true, http: true, model: "virtio-net-pci"},
	{name: "UEFI, installed on virtio", uefi: true, medium: "disk", onto: harness.Virtio},
	{name: "UEFI, installed on NVMe", uefi: true, medium: "disk", onto: harness.NVMe},
	{name: "UEFI, installed on AHCI", uefi: true, medium: "disk", onto: harness.AHCI},
	{name: "BIOS, diskless, 1 GiB", bare: true},
	{name: "BIOS, ISO, no serial port", medium: "iso", screen: true, mute: true},
	{name: "UEFI, ISO, no serial port", uefi: true, medium: "iso", screen: true, mute: true},
	{name: "BIOS, ISO, no screen", medium: "iso"},
	{name: "UEFI, ISO, no screen", uefi: true, medium: "iso"},
	{name: "BIOS, ISO, two cards", medium: "iso", cards: 1},
	{name: "UEFI, USB stick", uefi: true, medium: "disk", bus: harness.USB},
	{name: "BIOS, ISO on a USB stick", medium: "iso", bus: harness.USB},
	{name: "UEFI, USB stick and keyboard", uefi: true, medium: "disk", bus: harness.USB, screen: true, typed: true},
}

// forServers is where in ways those begin that the kernel of virtual machines has no drivers for.
const forServers = 14

// protected is the way of a machine with secure boot and a TPM. (Its name has no comma: swtpm takes none in a path.)
var protected = way{name: "UEFI with secure boot", uefi: true, medium: "disk", onto: harness.Virtio, sealed: true}

// target is an image and the machines that it is for.
type target struct {
	name   string
	prefix string // of its media
	goals  []string
	pxe    string
	card   string // model
	disk   harness.Bus
	memory int // MiB, but for machines without a disk
	ways   []way
}

var targets = []target{
	{"VM image", "", []string{"bin", "disk", "iso"}, "pxe", "virtio-net-pci", harness.Virtio, 1024,
		append(slices.Clip(ways[:forServers]), protected)},
	{"metal image", "metal-", []string{"bin", "disk-metal", "iso-metal"}, "pxe-metal", "e1000e", harness.AHCI, 2048, ways},
}

// TestActive: each image boots in each way that a machine has, beside a site's own dnsmasq, is admitted and is ACTIVE. It ends with a table
// of the seconds from power on.
func TestActive(t *testing.T) {
	soak(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	var table []string
	for n, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			for _, goal := range target.goals {
				if err := cluster.Make(t.Context(), root, goal, t.Logf); err != nil {
					t.Fatal(err)
				}
			}
			p, orchestrator := prepare(t, len(target.ways))
			dir, sw := tree(t, target.pxe, p.yaml), ether.NewSwitch()
			p.site = open(t, sw, dir, dnsmasq(dir), orchestrator)
			for i, w := range target.ways {
				t.Run(w.name, func(t *testing.T) {
					row := fmt.Sprintf("%-11s  %-30s FAILED", target.name, w.name)
					defer func() { table = append(table, row) }()
					c := machineOf(t, sw, target, w, fmt.Sprintf("host-%d", i+1), n, i)
					here := &platform{site: p.site, t: t, hnctls: p.hnctls, yaml: p.yaml} // what fails ends this row alone
					took := here.active(root, target, w, c)
					row = fmt.Sprintf("%-11s  %-30s %-14s ACTIVE %5.1f s", target.name, w.name, c.NICs[w.cards].Model, took.Seconds())
					t.Log(row)
				})
			}
		})
	}
	for _, row := range table {
		t.Logf("FIGURE from power on: %s", row)
	}
}

// machineOf is the machine of a way, without what it boots from.
func machineOf(t *testing.T, sw *ether.Switch, target target, w way, name string, n, i int) harness.Config {
	c := machine(t, sw)
	c.Name, c.UEFI, c.NoSerial, c.MemMiB = name, w.uefi, w.mute, target.memory
	c.NICs[0].MAC, c.NICs[0].Model = fmt.Sprintf("52:54:00:bb:%02x:%02x", n, i), target.card
	if w.model != "" {
		c.NICs[0].Model = w.model
	}
	c.Disks[0].Bus = target.disk
	if w.bare {
		c.Disks, c.MemMiB = nil, 1024
	}
	for range w.cards {
		c.NICs = slices.Insert(c.NICs, 0, harness.NIC{Model: target.card})
	}
	if w.http { // PXE by IPv6 comes before HTTP, and has its own time-outs
		c.FwCfg["opt/org.tianocore/IPv4PXESupport"], c.FwCfg["opt/org.tianocore/IPv6PXESupport"] = []byte("n"), []byte("n")
	}
	if w.screen {
		c.Extra = []string{"-device", "VGA"}
	}
	if w.typed {
		c.Extra = append(c.Extra, "-machine", "i8042=off", "-device", "qemu-xhci,id=keys", "-device", "usb-kbd,bus=keys.0")
	}
	return c
}

// active boots the machine, admits it, and returns the time from power on until it is ACTIVE.
func (p *platform) active(root string, target target, w way, c harness.Config) time.Duration {
	t, card := p.t, c.NICs[w.cards].MAC
	t.Helper()
	if w.medium != "" {
		yaml, medium := p.yaml, filepath.Join(root, "out/media", target.prefix+"host."+w.medium)
		switch {
		case w.typed:
			yaml = ""
		case w.sealed:
			yaml += "install: {disk: {serial: SYSTEM*}, encrypt: tpm}\n"
			medium = sealed(t, root, c.Dir)
			c.Secure, c.TPM = true, filepath.Join(c.Dir, "tpm")
		case w.onto != "":
			yaml += "install: {disk: {serial: SYSTEM*}}\n"
		}
		for i := range c.NICs {
			c.NICs[i].Boot = false
		}
		p.insert(medium, yaml, w, &c)
	}
	if w.onto != "" {
		install(t, &c)
	}
	h := start(t, c)
	defer h.VM.Kill()
	if w.typed {
		h.sees(`service setup: ready`)
		line := "\nactivate hnc1." + base64.RawURLEncoding.EncodeToString([]byte(p.yaml)) + "\n"
		if err := terminal.Press(h.T.Context(), h.VM, line); err != nil {
			h.T.Fatal(err)
		}
	}
	p.admit(h, c.Name, card)
	boot := p.isActive(h, c.Name, "")
	took := time.Since(h.VM.Started)
	if w.sealed {
		p.protected(h, boot)
	}
	return took
}

// admit waits until the machine with this card waits, and admits it.
func (p *platform) admit(h *host, name, card string) {
	h.T.Helper()
	code := ""
	get(p, name+" waits", func(l []operator.WaitingHost) bool {
		for _, w := range l {
			if slices.Contains(w.MACs, card) {
				code = w.Code
			}
		}
		h.runs()
		return code != ""
	}, "host", "waiting")
	if _, err := p.hnctl("host", "admit", code, "--name", name); err != nil {
		h.T.Fatal(err)
	}
}

// isActive waits until the host is ACTIVE in another boot than that one, and returns which.
func (p *platform) isActive(h *host, name, was string) (boot string) {
	h.T.Helper()
	get(p, name+" is ACTIVE", func(l []operator.Host) bool {
		h.runs()
		return slices.ContainsFunc(l, func(is operator.Host) bool {
			boot = is.Boot
			return is.Name == name && is.State == operator.HostActive && boot != was
		})
	}, "host", "list")
	return boot
}

// sealed makes a medium that keys of its own seal.
func sealed(t *testing.T, root, dir string) string {
	t.Helper()
	keys, err := cluster.MakeSecureBoot(t.Context(), root, dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	medium, err := keys.Disk(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return medium
}

// protected looks at a host with secure boot and a TPM that is ACTIVE, cuts its power, and waits until it is ACTIVE again by what the TPM
// opens: nobody admits it.
func (p *platform) protected(h *host, boot string) {
	p.t.Helper()
	const bootsSo = `step firmware: UEFI, booted from partition \S+; secure boot: on, lockdown: integrity`
	h.sees(bootsSo)
	h.sees(`STATE is encrypted, now bound to the TPM and to secure boot \(PCR 7\)`)
	shown, err := p.hnctl("host", "show", h.Config.Name)
	if err != nil || !strings.Contains(shown, "secure boot: on, lockdown: integrity") {
		p.t.Errorf("hnctl host show: %v\n%s", err, shown)
	}
	h.VM.Kill()
	again := start(p.t, h.Config)
	defer again.VM.Kill()
	again.sees(bootsSo)
	again.sees(`STATE is encrypted, bound to the TPM and to secure boot \(PCR 7\)`)
	p.isActive(again, h.Config.Name, boot)
}

// runs fails the test when the machine has ended.
func (h *host) runs() {
	h.T.Helper()
	if !h.VM.Running() {
		h.T.Fatal(h.VM.Err())
	}
}

// insert puts a copy of a medium, with the configuration on it ("" is none), before the machine's own disks.
func (p *platform) insert(medium, yaml string, w way, c *harness.Config) {
	t := p.t
	t.Helper()
	own := filepath.Join(c.Dir, "medium")
	if out, err := exec.Command("cp", "--sparse=always", medium, own).CombinedOutput(); err != nil {
		t.Fatalf("copy the medium: %v\n%s", err, out)
	}
	if yaml != "" {
		file := filepath.Join(c.Dir, "hardnode.yaml")
		write(t, file, yaml)
		cmd := exec.Command(tool(t, "hnctl"), "media", "add-config", "--replace", file, own)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("hnctl media add-config: %v\n%s", err, out)
		}
	}
	bus := w.bus
	switch {
	case bus == "" && w.medium == "iso":
		bus = harness.CD
	case bus == "" && w.onto == harness.AHCI:
		bus = harness.Virtio
	}
	d := harness.Disk{Path: own, Bus: bus, ReadOnly: bus == harness.CD}
	if w.onto != "" {
		c.Disks[0] = harness.Disk{Path: c.Disks[0].Path, SizeMiB: 4096, Serial: "SYSTEM-1", Bus: w.onto}
	}
	c.Disks = append([]harness.Disk{d}, c.Disks...)
}

// install has the machine installed onto its last disk, from its first one, which is taken out.
func install(t *testing.T, c *harness.Config) {
	t.Helper()
	once := *c
	once.Reboot = false
	h := start(t, once)
	h.sees(`reboot: installed on`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute*harness.Scale())
	defer cancel()
	if err := h.VM.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.Disks[0].Path); err != nil {
		t.Fatal(err)
	}
	c.Disks = c.Disks[1:]
}
