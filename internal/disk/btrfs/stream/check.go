package stream

import (
	"context"
	"errors"
	"fmt"
	"io"

	"hardnode.dev/internal/disk/btrfs"
)

// Check reads one stream to its end, and no byte behind it, and does nothing that it says: it is sound, and makes is, going on from from.
func Check(ctx context.Context, r io.Reader) (is, from btrfs.Identity, err error) {
	in, err := NewReader(r)
	if err != nil {
		return is, from, err
	}
	var c Command
	if err := in.Next(&c); err != nil {
		return is, from, err
	}
	if c.Kind != Subvol && c.Kind != Snapshot {
		return is, from, fmt.Errorf("%w: it begins with command %d", ErrBroken, c.Kind)
	}
	is, from = c.Own, c.From
	for {
		err := in.Next(&c)
		if errors.Is(err, io.EOF) {
			return is, from, nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return is, from, err
		}
	}
}
