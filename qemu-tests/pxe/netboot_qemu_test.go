//go:build qemu

package pxe

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness/ether"
)

// TestNetboot: beside a site's DHCP server that knows nothing of it, netboot boots machines of each kind of firmware, those that it is for.
func TestNetboot(t *testing.T) {
	soak(t)
	for _, m := range []struct {
		name  string
		uefi  bool
		first string // what netboot says first
		fw    string // OVMF's setting that is switched off
	}{
		{name: "BIOS", first: `a machine boots.* file=http://10.88.0.2/host.ipxe`},
		{name: "UEFI PXE", uefi: true, first: `tftp.* has snponly.efi`},
		{name: "UEFI HTTP", uefi: true, first: `http.* path=/snponly.efi`, fw: "opt/org.tianocore/IPv4PXESupport"},
	} {
		t.Run(m.name, func(t *testing.T) {
			dir, sw := tree(t, "pxe", config), ether.NewSwitch()
			raw, err := os.ReadFile(filepath.Join(dir, "dnsmasq.conf"))
			if err != nil {
				t.Fatal(err)
			}
			boots := regexp.MustCompile(`(?m)^(dhcp-boot|dhcp-match|dhcp-option-force|enable-tftp|tftp-root).*`)
			write(t, filepath.Join(dir, "dnsmasq.conf"), boots.ReplaceAllString(string(raw), ""))
			open(t, sw, "", dnsmasq(dir))
			n := openAt(t, sw, otherAddr, "", fmt.Sprintf("%s -tree %s -interface site0 -for 52:54:00:aa:00:01", tool(t, "netboot"), dir))
			n.sees(0, `msg=serving`)
			c := machine(t, sw)
			c.UEFI = m.uefi
			if m.fw != "" {
				c.FwCfg[m.fw] = []byte("n")
			}
			h := start(t, c)
			n.sees(0, m.first)
			n.sees(0, `path=/host.initrd`)
			h.sees(`step config: host host-1, role user`)
			h.sees(`step boot count:`)
			t.Logf("power on to the end of the boot: %.1f s", time.Since(h.VM.Started).Seconds())
		})
	}
}
