package assemble

import (
	"regexp"

	"hardnode.dev/image/kmod"
)

// Target is a kind of machine that images are built for.
type Target struct {
	Folder string // below the output directory: where its artefacts lie
	Prefix string // of its media's names
	meta   string // the package that depends on the newest kernel
	kernel *regexp.Regexp
	table  []kmod.Row
	budget int // bytes of kernel and initramfs of the host profile
	// withFirmware is the budget with firmware and microcode; 0: the target carries none.
	withFirmware int
}

// most is the budget of the host profile with what was found.
func (t Target) most(f Firmware) int {
	if len(f.Files) > 0 || len(f.Microcode) > 0 {
		return t.withFirmware
	}
	return t.budget
}

// VM are virtual machines; Metal are servers, whose image carries the drivers of their hardware too. 6.12: btrfs simple quotas, file-backed
// erofs.
var (
	VM = Target{"image", "", "linux-image-6.12-cloud-amd64", regexp.MustCompile(`^linux-image-6\.12\.[0-9].*-cloud-amd64$`), kmod.Table,
		48 << 20, 0}
	Metal = Target{"metal", "metal-", "linux-image-6.12-amd64", regexp.MustCompile(`^linux-image-6\.12\.[0-9][^-]*(-[0-9]+)?-amd64$`),
		append(kmod.Table[:len(kmod.Table):len(kmod.Table)], kmod.Metal...), 96 << 20, 140 << 20}
)
