package assemble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/image/debian"
	"hardnode.dev/internal/wire/boot"
)

// pxePackage holds the programs that a machine's firmware loads by TFTP or HTTP, and that load the rest.
const pxePackage = "ipxe"

// pxePrograms are those files of it: for BIOS, and for UEFI with the firmware's own driver of the card it booted from.
var pxePrograms = []string{"undionly.kpxe", "snponly.efi"}

// PXE writes media/pxe, the tree that a site's TFTP and HTTP servers hand to machines which boot from the network.
//
// Firmware is given iPXE by DHCP, iPXE a script of the tree by HTTP, and the script loads kernel and initrd from where it came from:
// nothing in the tree knows its address. (iPXE under UEFI can't boot the UKIs: it puts an initrd of its own in the place of theirs.)
func (b Builder) PXE(ctx context.Context) error {
	tree := b.media("pxe")
	if err := os.RemoveAll(tree); err != nil {
		return fmt.Errorf("clear the tree of files to boot from the network: %v", err)
	}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return fmt.Errorf("make the tree of files to boot from the network: %v", err)
	}
	programs, _, err := b.netLoaders(ctx)
	if err != nil {
		return err
	}
	files := []string{b.in("vmlinuz")}
	for _, p := range profiles {
		system, err := b.system(p)
		if err != nil {
			return err
		}
		files = append(files, b.in(p+".initrd"), system)
	}
	files = append(files, programs...)
	for _, f := range files {
		if err := copyFile(filepath.Join(tree, filepath.Base(f)), f, 0o644); err != nil {
			return err
		}
	}
	texts := map[string]string{"dnsmasq.conf": dnsmasq}
	for _, p := range profiles {
		texts[p+".ipxe"] = ipxe(p)
	}
	for name, text := range texts {
		if err := replace(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	b.Log("media: %s", tree)
	return nil
}

// netLoaders are the files of pxePrograms, and their package.
func (b Builder) netLoaders(ctx context.Context) (files []string, pkg debian.Package, err error) {
	pkgs, err := b.archive().Get(ctx, pxePackage)
	if err != nil {
		return nil, pkg, err
	}
	dir := b.path("cache", "unpacked", pxePackage)
	if err := b.archive().Unpack(ctx, pkgs[0], dir); err != nil {
		return nil, pkg, err
	}
	for _, p := range pxePrograms {
		files = append(files, filepath.Join(dir, "usr/lib/ipxe", p))
	}
	return files, pkgs[0], nil
}

// ipxe is the script that boots a profile. A user host's says where its configuration lies; an infra host's comes with the machine, since
// keys come with it.
func ipxe(profile string) string {
	return boot.Script{Profile: profile, Arguments: strings.Fields(cmdline(slices.Concat(consoles, arguments))), Config: profile == "host",
		Own: true}.String()
}

// dnsmasq is what a site's dnsmasq is told, beside what it tells its other machines. The numbers are those of RFC 4578, 2.1, and of its
// registry at IANA: 0 BIOS, 7 and 9 UEFI, 16 UEFI that boots by HTTP.
const dnsmasq = `# For dnsmasq as a site's DHCP server: put the address at which an HTTP server serves this folder in the place of
# ADDRESS, and this folder's own path in the place of FOLDER. Infra hosts boot infra.ipxe in the place of host.ipxe.
enable-tftp
tftp-root=FOLDER
dhcp-userclass=set:ipxe,iPXE
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:uefi,option:client-arch,7
dhcp-match=set:uefi,option:client-arch,9
dhcp-match=set:uefihttp,option:client-arch,16
dhcp-boot=tag:ipxe,http://ADDRESS/host.ipxe
dhcp-boot=tag:!ipxe,tag:bios,undionly.kpxe
dhcp-boot=tag:!ipxe,tag:uefi,snponly.efi
dhcp-boot=tag:!ipxe,tag:uefihttp,http://ADDRESS/snponly.efi
dhcp-option-force=tag:!ipxe,tag:uefihttp,option:vendor-class,HTTPClient
`
