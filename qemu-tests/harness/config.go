// Package harness boots virtual machines for tests and for the demo cluster, as values.
//
// Owns: QEMU's command line, the serial log, the typed event channel, guest tests, and the end of it all. What guests boot and the
// cables between them are rooms of their own below this one.
// In: a Config (kernel, initrd, disks, NICs, fw_cfg); a guest test's package; a context.
// Out: a VM to wait for, cut off, power down or power cut; frames counted; errors that carry the last lines of the console.
// Never: needs root, touches the machine's network, knows what a host or a cluster is, or lets a QEMU outlive this process.
package harness

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/harness/ether"
	"hardnode.dev/qemu-tests/harness/nbd"
	"hardnode.dev/qemu-tests/harness/tsc"
)

// DefaultTimeout ends a VM whose Config gives no Timeout.
const DefaultTimeout = 15 * time.Minute

// Config is all that makes one VM. The zero value of every field but Name, Kernel and Dir is usable.
type Config struct {
	Name    string            // shown in errors and file names; a DNS label
	Kernel  string            // bzImage; empty boots from a disk
	UEFI    bool              // OVMF is the firmware, with variables that live as long as Dir; else SeaBIOS
	Secure  bool              // with UEFI: firmware that knows secure boot; fresh variables are in setup mode
	TPM     string            // folder with the state of its TPM, made when it is not there; "": it has none
	Initrd  []string          // files, handed to the kernel one after the other (each padded to 4 bytes)
	Append  string            // kernel command line; "console=ttyS0" is put before it
	MemMiB  int               // 0 is 512
	CPUs    int               // 0 is 1; always 1 under software emulation, where more can crash the guest
	Disks   []Disk            // /dev/vda, /dev/vdb, … in this order
	NICs    []NIC             // in PCI order
	FwCfg   map[string][]byte // name → content, e.g. "opt/hardnode/config"
	Dir     string            // logs and fw_cfg files; must exist
	Reboot  bool              // let the guest reboot; otherwise a reboot ends the VM
	Crash   bool              // a kernel panic is expected: WaitFor goes on after one
	Timeout time.Duration     // the VM is killed after this; 0 is DefaultTimeout, negative is never
	CPU     string            // QEMU's -cpu under software emulation; "" is softCPU
	Extra   []string          // further QEMU arguments
	// what runs measures times that are no longer than a moment: the emulator gets all the memory for its translations that it takes
	Measures bool

	NoSerial bool // the machine has no serial port: the console stays empty
}

// Disk is one raw disk.
type Disk struct {
	Bus      Bus    // "" is Virtio
	Path     string // made sparse when it doesn't exist, kept when it does
	SizeMiB  int    // of a new file
	Serial   string // at most 20 characters, seen as /sys/block/vda/serial
	ReadOnly bool
	// Hot: of Virtio: it may be pulled out of the running machine (VM.Pull). Out: it is not in yet (VM.Plug).
	Hot, Out bool
	// Cut serves the disk, in place of Path, so that what was not flushed can be lost. (A QEMU that is killed loses nothing: what it wrote
	// lies with this machine's kernel.)
	Cut *nbd.Disk
}

// Bus is how a disk is attached.
type Bus string

// The buses. A disk of NVMe or USB has a Serial, or gets one of its own.
const (
	Virtio Bus = "virtio" // /dev/vda, /dev/vdb, …
	NVMe   Bus = "nvme"   // /dev/nvme0n1, …
	AHCI   Bus = "ahci"   // /dev/sda, …
	CD     Bus = "cd"     // a CD drive on AHCI
	USB    Bus = "usb"    // a stick
	SCSI   Bus = "scsi"   // /dev/sda, …: the kernel waits for one that does not answer for ever
)

// port is the slot that a disk is pulled out of.
func (d Disk) port(i int) []string {
	if !d.Hot {
		return nil
	}
	return []string{"-device", fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d", i, i+1)}
}

// device is QEMU's device for a disk's drive.
func (d Disk) device(i int) []string {
	serial := d.Serial
	if serial == "" && (d.Bus == NVMe || d.Bus == USB) {
		serial = fmt.Sprintf("disk%d", i)
	}
	dev := map[Bus]string{"": "virtio-blk-pci", Virtio: "virtio-blk-pci", NVMe: "nvme", AHCI: "ide-hd,bus=ide.%d", CD: "ide-cd,bus=ide.%d",
		USB: "usb-storage,bus=xhci%d.0,removable=on", SCSI: "scsi-hd,bus=scsi%d.0"}[d.Bus]
	if strings.Contains(dev, "%d") {
		dev = fmt.Sprintf(dev, i)
	}
	dev += fmt.Sprintf(",drive=disk%d,bootindex=%d", i, bootDisk+i)
	if serial != "" {
		dev += ",serial=" + serial
	}
	if d.Hot {
		dev += fmt.Sprintf(",bus=port%d,id=dev%d", i, i)
	}
	if d.Bus == USB {
		return []string{"-device", fmt.Sprintf("qemu-xhci,id=xhci%d", i), "-device", dev}
	}
	if d.Bus == SCSI {
		return []string{"-device", fmt.Sprintf("virtio-scsi-pci,id=scsi%d", i), "-device", dev}
	}
	return []string{"-device", dev}
}

// NIC is one network card: on a Switch port, or on QEMU's user-mode network (10.0.2.0/24 with DHCP).
type NIC struct {
	Model  string        // QEMU's; "" is virtio-net-pci
	MAC    string        // "" takes one from the VM's name and the card's number
	Switch *ether.Switch // a port of this switch, named Config.Name (further cards on it: Name-2, …)
	User   []Forward     // with no Switch: user-mode network with these forwards
	Out    bool          // user-mode network: the guest may open connections to this machine and beyond
	Boot   bool          // the firmware boots from it first: SeaBIOS by the card's iPXE, OVMF by its own network stack
}

// rom is what the firmware is told of a card: which has no boot program of its own but where SeaBIOS shall boot from it.
func (n NIC) rom(i int, uefi bool) string {
	switch {
	case n.Boot && uefi:
		return fmt.Sprintf(",romfile=,bootindex=%d", bootNIC+i)
	case n.Boot:
		return fmt.Sprintf(",bootindex=%d", bootNIC+i)
	}
	return ",romfile="
}

// Where the firmware looks first: cards that it shall boot from, then disks.
const (
	bootNIC  = 0
	bootDisk = 10
)

// Forward lets the test process reach a guest's port at 127.0.0.1:Host.
type Forward struct {
	UDP   bool
	Host  int
	Guest int
	Addr  string // the address it listens on; "" is 127.0.0.1
}

// firmware is where Debian's package ovmf puts its files.
const firmware = "/usr/share/OVMF/"

// Where inherited descriptors lie in the QEMU process; from fdFree on those of disks that can be cut, then of NICs on a switch.
const (
	fdQMP = 3 + iota
	fdEvents
	fdProbe
	fdFree
)

// files says where the parts of one VM lie below Config.Dir.
func (c Config) file(kind string) string { return filepath.Join(c.Dir, c.Name+"."+kind) }

// check says what is wrong with c before anything is started.
func (c Config) check() error {
	switch {
	case c.Name == "" || strings.ContainsAny(c.Name, "/, "):
		return fmt.Errorf("vm %q: name must be a DNS label", c.Name)
	case c.Dir == "":
		return fmt.Errorf("vm %s: Dir is empty", c.Name)
	}
	if c.Kernel != "" {
		if _, err := os.Stat(c.Kernel); err != nil {
			return fmt.Errorf("vm %s: kernel: %v", c.Name, err)
		}
	}
	for _, d := range c.Disks {
		if _, err := os.Stat(d.Path); err != nil && d.SizeMiB <= 0 && d.Cut == nil {
			return fmt.Errorf("vm %s: disk %s: does not exist and has no size", c.Name, d.Path)
		}
	}
	return nil
}

// softCPU is the processor that QEMU plays where there is no KVM. Without AES instructions TLS is faster here. Without cmpxchg16b the
// guest's kernel is sound: QEMU 7.2 works out the flags that this instruction keeps from an operation that is past, and an interrupt right
// behind it brings that back as the kernel's flags: "double fault" in its allocator, seldom.
const softCPU = "max,-aes,-pclmulqdq,-cx16"

// args is QEMU's command line for c.
func (c Config) args(kvm bool) []string {
	mem, cpus, cpu, accel := c.MemMiB, c.CPUs, "host", "kvm"
	if mem == 0 {
		mem = 512
	}
	if !kvm {
		cpus, cpu, accel = 1, c.CPU, "tcg"
		if cpu == "" {
			cpu = softCPU
		}
	}
	a := []string{
		"-name", c.Name, "-machine", "q35", "-cpu", cpu, "-smp", fmt.Sprint(max(cpus, 1)), "-m", fmt.Sprintf("%dM", mem),
		"-nodefaults", "-no-user-config", "-display", "none",
		"-chardev", "stdio,id=console,signal=off",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", fdQMP), "-mon", "chardev=qmp,mode=control",
		"-device", "virtio-serial-pci", "-chardev", fmt.Sprintf("socket,id=events,fd=%d", fdEvents),
		"-device", "virtserialport,chardev=events,name=" + EventPort,
		"-chardev", fmt.Sprintf("socket,id=probe,fd=%d", fdProbe), "-device", "virtserialport,chardev=probe,name=" + ask.Port,
		"-device", "virtio-rng-pci",
	}
	if c.Measures && !kvm {
		accel += fmt.Sprintf(",tb-size=%d", translateMiB)
	}
	a = append(a, "-accel", accel)
	if !c.NoSerial {
		a = append(a, "-device", "isa-serial,chardev=console")
	}
	if !c.Reboot {
		a = append(a, "-no-reboot")
	}
	if c.UEFI {
		code := "OVMF_CODE_4M.fd"
		if c.Secure { // its variables are safe from the system only behind the processor's management mode
			code = "OVMF_CODE_4M.secboot.fd"
			a[3] += ",smm=on"
			a = append(a, "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
		}
		a = append(a, "-drive", "if=pflash,format=raw,readonly=on,file="+firmware+code,
			"-drive", "if=pflash,format=raw,file="+quoted(c.file("vars")))
	}
	if c.TPM != "" {
		a = append(a, "-chardev", "socket,id=tpm,path="+strings.ReplaceAll(c.file("tpm"), ",", ",,"),
			"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0")
	}
	if c.Kernel != "" {
		line := "console=ttyS0 " + c.Append
		if khz := tsc.KHz(); !kvm && khz > 0 {
			line += fmt.Sprintf(" tsc_early_khz=%d", khz)
		}
		a = append(a, "-kernel", c.Kernel, "-append", strings.TrimSpace(line))
	}
	if len(c.Initrd) == 1 {
		a = append(a, "-initrd", c.Initrd[0])
	} else if len(c.Initrd) > 1 {
		a = append(a, "-initrd", c.file("initrd"))
	}
	fd := fdFree
	for i, d := range c.Disks {
		drive := fmt.Sprintf("if=none,id=disk%d,format=raw,cache=unsafe,discard=unmap,file=%s", i, quoted(d.Path))
		if d.Cut != nil { // cache=none: the guest's flushes reach it
			drive = fmt.Sprintf("if=none,id=disk%d,format=raw,cache=none,discard=unmap,file.driver=nbd,file.server.type=fd,"+
				"file.server.str=%d", i, fd)
			fd++
		}
		if d.ReadOnly {
			drive += ",readonly=on"
		}
		a = append(append(a, "-drive", drive), d.port(i)...)
		if !d.Out {
			a = append(a, d.device(i)...)
		}
	}
	for i, n := range c.NICs {
		net := fmt.Sprintf("user,id=net%d", i)
		if !n.Out {
			net += ",restrict=on"
		}
		if n.Switch != nil {
			net = fmt.Sprintf("stream,id=net%d,server=off,addr.type=fd,addr.str=%d", i, fd)
			fd++
		}
		for _, f := range n.User {
			proto, addr := "tcp", f.Addr
			if f.UDP {
				proto = "udp"
			}
			if addr == "" {
				addr = "127.0.0.1"
			}
			net += fmt.Sprintf(",hostfwd=%s:%s:%d-:%d", proto, addr, f.Host, f.Guest)
		}
		mac := n.MAC
		if mac == "" {
			mac = ether.MAC(c.Name, i)
		}
		card := fmt.Sprintf("%s,netdev=net%d,mac=%s", cmp.Or(n.Model, "virtio-net-pci"), i, mac)
		a = append(a, "-netdev", net, "-device", card+n.rom(i, c.UEFI))
	}
	for i, name := range c.fwNames() {
		a = append(a, "-fw_cfg", fmt.Sprintf("name=%s,file=%s", name, quoted(c.file(fmt.Sprintf("fwcfg%d", i)))))
	}
	return append(a, c.Extra...)
}

// quoted is a path as a value among QEMU's options.
func quoted(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// fwNames are the fw_cfg names in the order of their files.
func (c Config) fwNames() []string { return slices.Sorted(maps.Keys(c.FwCfg)) }
