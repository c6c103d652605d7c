//go:build qemu

package boot

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// sealed makes a boot medium whose system is sealed with keys of its own below dir, and with a configuration.
func sealed(t *testing.T, dir, yaml string) string {
	t.Helper()
	root := build(t)
	keys, err := cluster.MakeSecureBoot(t.Context(), root, dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	made, err := keys.Disk(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return medium(t, dir, made, yaml)
}

// TestSecureBoot: a machine whose firmware is in setup mode is installed from a sealed medium; the loader gives the firmware the keys at
// the first boot from the disk, and from then on it starts what they signed and nothing else: an unsigned system in a slot is passed over.
func TestSecureBoot(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted five times; `make soak PKG=./qemu-tests/boot RUN=TestSecureBoot` runs this")
	}
	dir := harness.Dir(t)
	c, target := secureMachine(t, dir, "install: {disk: {serial: SYSTEM*}}\n")
	h := start(t, c)
	h.sees(`step firmware: UEFI, booted from partition \S+; secure boot: setup, lockdown: none`)
	h.sees(`install: 8 of 8: reboot from it`)
	h.off()

	c.Disks, c.Reboot = []harness.Disk{target}, true
	h = start(t, c)
	h.sees(`Enrolling secure boot keys from directory: \\loader\\keys\\auto`)
	h.sees(`step firmware: UEFI, booted from partition \S+; secure boot: on, lockdown: integrity`)
	h.up()
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()

	unsealed(t, target.Path, filepath.Join(build(t), "out/image/host.efi"))
	h = start(t, c)
	h.sees(`"Hardnode" from HD\(1,GPT,`)
	h.sees(`Access [Dd]enied`)
	h.sees(`"Hardnode, again" from HD\(1,GPT,`)
	h.sees(`step trial: slot a`)
	h.up()
}

// TestEncryptedState: STATE is encrypted by the installation; the TPM opens it at each boot, also after another system was tried; when the
// firmware takes on other keys (PCR 7), or the TPM is replaced, the host says so and stays up, and the recovery key has the TPM open it
// from then on. A machine without a TPM is not installed so.
func TestEncryptedState(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted ten times; `make soak PKG=./qemu-tests/boot RUN=TestEncryptedState` runs this")
	}
	dir := harness.Dir(t)
	c, target := secureMachine(t, dir, consolePassword(t)+"install: {disk: {serial: SYSTEM*}, encrypt: tpm}\n")
	h := start(t, c)
	h.sees(`install: not installed: install.encrypt: this machine shows no TPM 2.0; .* or take install.encrypt out`)
	h.VM.Kill()

	c.TPM = filepath.Join(dir, "tpm-1")
	h = start(t, c)
	recovery := h.sees(`install: recovery key of STATE, shown this once, write it down: ((?:[0-9A-Z]{4}-){7}[0-9A-Z]{4})`)[1]
	h.sees(`install: 8 of 8: reboot from it`)
	h.off()

	c.Disks, c.Reboot = []harness.Disk{target}, true
	h = start(t, c)
	h.sees(`Enrolling secure boot keys from directory`)
	h.sees(`step data: .*; STATE is encrypted, now bound to the TPM and to secure boot \(PCR 7\)`)
	h.up()
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()

	unsealed(t, target.Path, filepath.Join(build(t), "out/image/host.efi"))
	h = start(t, c)
	h.sees(`"Hardnode, again" from HD\(1,GPT,`)
	h.sees(`step data: .*; STATE is encrypted, bound to the TPM and to secure boot \(PCR 7\)`)
	h.up()
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-2-b+0.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()

	otherKeys(t, target.Path, dir)
	if err := os.Remove(filepath.Join(dir, c.Name+".vars")); err != nil { // the firmware's variables: it is in setup mode
		t.Fatal(err)
	}
	h = start(t, c)
	h.sees(`Enrolling secure boot keys from directory`)
	h.sees(`step firmware: UEFI, booted from partition \S+; secure boot: on, lockdown: integrity`)
	h.sees(`STATE on \S+ is locked: secure boot was switched, its keys were changed, or something else was booted .*\(PCR 7\)`)
	h.sees(`STATE IS LOCKED: secure boot was switched, .* What to do: type unlock KEY here`)
	h.up()
	h.unlocks(t, recovery)
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-2-b+0.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()

	c.TPM = filepath.Join(dir, "tpm-2")
	h = start(t, c)
	h.sees(`STATE on \S+ is locked: this is another TPM than the one that sealed it, or it was cleared`)
	h.sees(`STATE IS LOCKED: this is another TPM .* What to do: type unlock KEY here`)
	h.up()
	h.unlocks(t, recovery)
}

// unlocks types the recovery key, after a wrong one, and waits for the next boot, in which the TPM opens STATE again.
func (h *host) unlocks(t *testing.T, recovery string) {
	t.Helper()
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type("\r"); err != nil {
		t.Fatal(err)
	}
	h.sees(`^hardnode console on ttyS0; type help`)
	h.typed(t, "unlock 0000-0000", 1)
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type("unlock " + recovery + "\r"); err != nil {
		t.Fatal(err)
	}
	h.sees(`STATE opens again; the host reboots`)
	h.sees(`step data: .*; STATE is encrypted, now bound to the TPM and to secure boot \(PCR 7\)`)
	h.up()
}

// otherKeys has the loader of a disk give the firmware other keys, which believe the one that signed the system too.
func otherKeys(t *testing.T, path, dir string) {
	t.Helper()
	keys, err := cluster.MakeSecureBoot(t.Context(), build(t), filepath.Join(dir, "other"), t.Logf, filepath.Join(dir, "keys/db.crt"))
	if err != nil {
		t.Fatal(err)
	}
	fs := espOf(t, path)
	for _, name := range []string{efi.PK, efi.KEK, efi.DB} {
		data, err := os.ReadFile(filepath.Join(keys.Dir, name+".auth"))
		if err != nil {
			t.Fatal(err)
		}
		file := "/" + bootorder.Keys + "/" + name + ".auth"
		if err := fs.Remove(file); err != nil {
			t.Fatal(err)
		}
		put(t, fs, file, data)
	}
}

// secureMachine is a machine with secure boot's firmware, a sealed medium with that configuration, and a disk to install to.
func secureMachine(t *testing.T, dir, more string) (harness.Config, harness.Disk) {
	t.Helper()
	medium := harness.Disk{Path: sealed(t, dir, config+more)}
	target := harness.Disk{Path: filepath.Join(dir, "disk"), SizeMiB: installSize, Serial: "SYSTEM-1", Bus: harness.Virtio}
	c := machine(t, dir, "")
	c.Kernel, c.Initrd, c.UEFI, c.Secure, c.Timeout = "", nil, true, true, time.Hour*harness.Scale()
	c.Disks = []harness.Disk{medium, target}
	return c, target
}

// unsealed puts a whole system that nobody signed into slot b, and b before a.
func unsealed(t *testing.T, path, system string) {
	t.Helper()
	data, err := os.ReadFile(system)
	if err != nil {
		t.Fatal(err)
	}
	fs := espOf(t, path)
	put(t, fs, "/"+bootorder.File(slots.B), data)
	for _, e := range []bootorder.Entry{{Slot: slots.B, Rank: 1, Version: "9", Left: 1}, {Slot: slots.A, Rank: 2, Version: "1", Left: 1}} {
		put(t, fs, "/"+entries+"/"+e.Name(), []byte(e.Text()))
	}
	if err := fs.Remove("/" + entries + "/hardnode-1-a+3.conf"); err != nil {
		t.Fatal(err)
	}
}
