//go:build qemu

package boot

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
)

// TestSpoiledSlots: the system that the loader takes first is cut off, or signed by keys that the firmware does not believe; it is one on
// trial, or the committed one; the firmware's variables are kept, or lost, and with them its boot order and the keys of secure boot. The
// host boots the other system, which is whole, by itself.
func TestSpoiledSlots(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted a dozen times; `make soak PKG=./qemu-tests/boot RUN=TestSpoiledSlots` runs this")
	}
	dir := harness.Dir(t)
	base, target := secureMachine(t, dir, "install: {disk: {serial: SYSTEM*}}\n")
	h := start(t, base)
	h.sees(`install: 8 of 8: reboot from it`)
	h.off()
	base.Disks, base.Reboot = []harness.Disk{target}, true
	h = start(t, base)
	h.sees(`Enrolling secure boot keys from directory`)
	h.up()
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()
	whole := slotOf(t, target.Path, slots.A)
	unsigned, err := os.ReadFile(filepath.Join(build(t), "out/image/host.efi"))
	if err != nil {
		t.Fatal(err)
	}
	const cut, strange = "cut off", "signed by a stranger"
	spoiled := map[string][]byte{cut: whole[:4<<20], strange: signedByStranger(t, unsigned)}
	table := []string{"slot | its system | firmware's variables | secure boot | comes up"}
	for _, c := range []struct {
		what            string
		committed, lost bool
		plain           bool // without secure boot: then the firmware ends in its shell
	}{
		{what: cut}, {what: cut, committed: true}, {what: strange}, {what: strange, committed: true},
		{what: cut, lost: true}, {what: cut, committed: true, lost: true}, {what: strange, lost: true},
		{what: strange, committed: true, lost: true}, {what: cut, lost: true, plain: true},
		{what: cut, committed: true, lost: true, plain: true},
	} {
		bad, good, say := slots.B, slots.A, func(is bool, yes, no string) string { return map[bool]string{true: yes, false: no}[is] }
		if c.committed {
			bad, good = good, bad
		}
		name := fmt.Sprintf("%s | %s | %s | %s", say(c.committed, "committed", "on trial"), c.what, say(c.lost, "lost", "kept"),
			say(c.plain, "no", "yes"))
		t.Run(name, func(t *testing.T) {
			conf := base
			conf.Dir, conf.Secure, conf.Disks = harness.Dir(t), !c.plain, []harness.Disk{target}
			conf.Crash = true // emulation on a busy machine: "IO-APIC + timer doesn't work" is a panic, and the next boot comes by itself
			conf.Disks[0].Path = filepath.Join(conf.Dir, "disk")
			sparse(t, target.Path, conf.Disks[0].Path)
			if !c.lost {
				if out, err := exec.Command("cp", filepath.Join(base.Dir, "host-1.vars"), conf.Dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			first(t, conf.Disks[0].Path, bad, spoiled[c.what], whole, c.plain)
			h := start(t, conf)
			defer h.VM.Kill()
			if c.plain {
				h.sees(`UEFI Interactive Shell`)
			}
			slot := slots.Name(h.sees(`step trial: slot (a|b)`)[1])
			if slot != good {
				t.Errorf("slot %s is booted, want %s", slot, good)
			}
			table = append(table, fmt.Sprintf("%s | slot %s after %.1f s", name, slot, time.Since(h.VM.Started).Seconds()))
		})
	}
	for _, line := range table {
		t.Log("figure: " + line)
	}
}

// slotOf is the system in a slot.
func slotOf(t *testing.T, path string, slot slots.Name) []byte {
	t.Helper()
	from, err := looked(t, path).OpenFile("/"+bootorder.File(slot), os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// first puts a spoiled system into a slot of an installed disk whose only system is in slot a, and a whole one into the other; the spoiled
// one comes first. Plain: the loader enrolls no keys.
func first(t *testing.T, path string, bad slots.Name, spoiled, whole []byte, plain bool) {
	t.Helper()
	fs := espOf(t, path)
	if bad == slots.A {
		replace(t, fs, "/"+bootorder.File(slots.A), spoiled)
		put(t, fs, "/"+bootorder.File(slots.B), whole)
	} else {
		put(t, fs, "/"+bootorder.File(slots.B), spoiled)
	}
	if plain {
		replace(t, fs, "/"+bootorder.Settings, []byte(bootorder.SettingsText))
	}
	for _, e := range []bootorder.Entry{{Slot: bad, Rank: 1, Version: "9", Left: 1}, {Slot: bad.Other(), Rank: 2, Version: "1", Left: 2}} {
		put(t, fs, "/"+entries+"/"+e.Name(), []byte(e.Text()))
	}
	if err := fs.Remove("/" + entries + "/hardnode-1-a+3.conf"); err != nil {
		t.Fatal(err)
	}
}

// signedByStranger is a program with the signature of a key that is made here.
func signedByStranger(t *testing.T, program []byte) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a stranger"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	table, err := authenticode.Sign(program, authenticode.Signer{Certificate: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	out, err := authenticode.Attach(program, table)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
