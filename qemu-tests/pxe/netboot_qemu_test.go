//go:build qemu

package pxe

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness/ether"
)

// answersTFTP tells whether an Ethernet frame is a packet of a TFTP server at port 69.
func answersTFTP(frame []byte) bool {
	const ip, udp = 14, 17
	if len(frame) < ip+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[ip+9] != udp {
		return false
	}
	ports := ip + int(frame[ip]&15)*4
	return len(frame) >= ports+2 && binary.BigEndian.Uint16(frame[ports:]) == 69
}

// TestNetboot: beside a site's DHCP server that knows nothing of it, netboot boots machines of each kind of firmware, those that it is for;
// also beside one that leads them elsewhere, to a tree of its own. Where no TFTP comes through, netboot says so, and UEFI goes on to HTTP.
func TestNetboot(t *testing.T) {
	soak(t)
	for _, m := range []struct {
		name  string
		uefi  bool
		first string // what netboot says first
		fw    string // OVMF's setting that is switched off
		both  bool   // the site's server names a file too
		block bool   // TFTP
		gives bool   // netboot gives the addresses: the site has no server of its own
	}{
		{name: "BIOS", first: `a machine boots.* file=http://10.88.0.2/host.ipxe`},
		{name: "UEFI PXE", uefi: true, first: `tftp.* has snponly.efi`},
		{name: "UEFI HTTP", uefi: true, first: `http.* path=/snponly.efi`, fw: "opt/org.tianocore/IPv4PXESupport"},
		{name: "BIOS where both answer", both: true, first: `a machine boots`},
		{name: "UEFI where both answer", uefi: true, both: true, first: `a machine boots`},
		{name: "BIOS without any other server", gives: true, first: `it is given 10.88.0.50`},
		{name: "UEFI without any other server", uefi: true, gives: true, first: `it is given 10.88.0.50`},
		{name: "UEFI without TFTP", uefi: true, block: true, first: `UDP from port 69 blocked on the way`},
	} {
		t.Run(m.name, func(t *testing.T) {
			dir, sw := tree(t, "pxe", config), ether.NewSwitch()
			raw, err := os.ReadFile(filepath.Join(dir, "dnsmasq.conf"))
			if err != nil {
				t.Fatal(err)
			}
			boots := regexp.MustCompile(`(?m)^(dhcp-boot|dhcp-match|dhcp-option-force|enable-tftp|tftp-root).*`)
			served := dir
			if !m.both {
				served = ""
				write(t, filepath.Join(dir, "dnsmasq.conf"), boots.ReplaceAllString(string(raw), ""))
			}
			flags := ""
			if m.gives {
				flags = gives(dir)
			} else {
				open(t, sw, served, dnsmasq(dir))
			}
			if m.block {
				sw.Drop(func(_, _ string, frame []byte) bool { return answersTFTP(frame) })
			}
			n := openAt(t, sw, otherAddr, "", fmt.Sprintf("%s -tree %s -interface eth0 -for 52:54:00:aa:00:01%s", tool(t, "netboot"),
				dir, flags))
			n.sees(0, `msg=serving`)
			c := machine(t, sw)
			c.UEFI = m.uefi
			if m.fw != "" {
				c.FwCfg[m.fw] = []byte("n")
			}
			h := start(t, c)
			n.sees(0, m.first)
			if !m.both {
				n.sees(0, `path=/host.initrd`)
			}
			h.sees(`step config: host host-1, role user`)
			h.sees(`step boot count:`)
			t.Logf("power on to the end of the boot: %.1f s", time.Since(h.VM.Started).Seconds())
		})
	}
}

// gives is the flags by which netboot gives addresses.
func gives(dir string) string {
	return " -dhcp-range 10.88.0.50-10.88.0.99/24 -leases " + filepath.Join(dir, "given.json")
}

// TestTwoServers: netboot gives no addresses while another DHCP server answers, says so, and begins when that is gone.
func TestTwoServers(t *testing.T) {
	soak(t)
	dir, sw := tree(t, "pxe", config), ether.NewSwitch()
	s := open(t, sw, "", dnsmasq(dir))
	n := openAt(t, sw, otherAddr, "", fmt.Sprintf("%s -tree %s -interface eth0 -for all%s", tool(t, "netboot"), dir, gives(dir)))
	n.sees(0, `what=dhcp reason="no addresses are given: another DHCP server answers on this network, 10.88.0.1;`)
	s.close()
	n.sees(0, `no more in the way of machines that boot.* what=dhcp`)
	mark := n.mark()
	open(t, sw, "", dnsmasq(dir))
	n.sees(mark, `another DHCP server answers on this network, 10.88.0.1;`)
}
