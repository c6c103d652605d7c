package assemble

import (
	"context"
	"fmt"
	"os"

	"hardnode.dev/internal/disk/medium"
)

// profiles are what media are made for: a user host, and an infra host with the components' images.
var profiles = []string{"host", "infra"}

// Media makes the media of a kind, "disk" or "iso", of each profile, or the tree of kind "pxe", which has both.
func (b Builder) Media(ctx context.Context, kind string) error {
	if kind == "pxe" {
		return b.PXE(ctx)
	}
	os.Setenv("SOURCE_DATE_EPOCH", b.Stamp.Time) // the times of files on media
	if err := os.MkdirAll(b.path("media"), 0o755); err != nil {
		return fmt.Errorf("make the folder of media: %v", err)
	}
	for _, p := range profiles {
		write := b.Disk
		if kind == "iso" {
			write = b.ISO
		}
		if err := write(ctx, p); err != nil {
			return err
		}
		b.Log("media: %s", b.media(p+"."+kind))
	}
	return nil
}

// diskSize is that of a medium: room for its UKI, the next one, and a configuration. It fits the smallest stick.
const diskSize = 512 << 20

// Disk writes media/<profile>.disk: a raw disk or stick that a UEFI machine boots the profile from.
func (b Builder) Disk(_ context.Context, profile string) error {
	system, err := b.system(profile)
	if err != nil {
		return err
	}
	return medium.Disk(b.media(profile+".disk"), diskSize,
		append(medium.Places(), medium.File{Path: medium.Removable, Source: system})...)
}
