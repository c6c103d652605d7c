package domains

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// FindDNS looks up the addresses of a name by the container's own name servers. A name that is not there has none.
func FindDNS(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name+".")
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return nil, nil
	}
	return addrs, err
}

// AskDNS looks up the texts of a name by the container's own name servers. A name that is not there has none.
func AskDNS(ctx context.Context, name string) ([]string, error) {
	texts, err := net.DefaultResolver.LookupTXT(ctx, name+".")
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return nil, nil
	}
	return texts, err
}
