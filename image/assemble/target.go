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
}

// VM are virtual machines; Metal are servers, whose image carries the drivers of their hardware too. 6.12: btrfs simple quotas, file-backed
// erofs.
var (
	VM = Target{"image", "", "linux-image-6.12-cloud-amd64", regexp.MustCompile(`^linux-image-6\.12\.[0-9].*-cloud-amd64$`), kmod.Table,
		48 << 20}
	Metal = Target{"metal", "metal-", "linux-image-6.12-amd64", regexp.MustCompile(`^linux-image-6\.12\.[0-9][^-]*(-[0-9]+)?-amd64$`),
		append(kmod.Table[:len(kmod.Table):len(kmod.Table)], kmod.Metal...), 96 << 20}
)
