package main

import (
	"context"

	"hardnode.dev/image/assemble"
)

// sizes builds what has a limit, for all targets, and measures it.
func sizes(ctx context.Context, b assemble.Builder) error {
	var built []assemble.Builder
	for _, t := range []assemble.Target{assemble.VM, assemble.Metal} {
		b.Target = t
		if _, err := b.Image(ctx); err != nil {
			return err
		}
		if err := b.Media(ctx, "iso"); err != nil {
			return err
		}
		built = append(built, b)
	}
	return assemble.Bars(ctx, built...)
}
