package initctl

import (
	"context"
	"fmt"

	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire/boot"
)

// Status is what init says of the boot and its services.
func Status(ctx context.Context, socket string) (s boot.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ask.To("init", socket).Get(ctx, "/v1/status", &s); err != nil {
		return s, fmt.Errorf("ask init on %q how the services are: %v", socket, err)
	}
	return s, nil
}

// Replace has init replace programs. It answers before it begins.
func Replace(ctx context.Context, socket string, order boot.HotOrder) error {
	return post(ctx, socket, "replace programs", boot.PathHot, order)
}

// Keep has init keep the programs of a root, which are tried.
func Keep(ctx context.Context, socket, root string) error {
	return post(ctx, socket, "keep programs", boot.PathKeep, boot.HotOrder{Root: root})
}

func post(ctx context.Context, socket, what, path string, order boot.HotOrder) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ask.To("init", socket).Post(ctx, path, order, nil); err != nil {
		return fmt.Errorf("ask init on %q to %s: %v", socket, what, err)
	}
	return nil
}
