package lend

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// slow is how long another host may take for one range; then there is the orchestrator.
const slow = 5 * time.Second

func decode(raw []byte) (list host.ReleasePeers, err error) {
	err = neighbour.Decode(raw, &list)
	list.Hosts = list.Hosts[:min(len(list.Hosts), host.MaxReleasePeers)]
	return list, err
}

// taker reads a system from one host, and from nobody who stands at its address in its place.
func (l *Lender) taker(id wire.HostID, at netip.AddrPort, d wire.Digest) Range {
	want := func(p identity.Peer) error {
		if !p.IsHost() || p.Host != id {
			return fmt.Errorf("want host %s, the other side is %s", id, p)
		}
		return nil
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(l.o.Trust(), want, l.o.Holder),
		DialContext: (&net.Dialer{Timeout: slow}).DialContext, TLSHandshakeTimeout: slow, MaxIdleConns: 1, IdleConnTimeout: slow}}
	return func(ctx context.Context, offset int64, length int) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, slow)
		defer cancel()
		url := fmt.Sprintf("https://%s%s%s?offset=%d&length=%d", at, host.PathPeerSystem, d, offset, length)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(io.LimitReader(resp.Body, int64(length)+1))
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("it answers %s", resp.Status)
		case len(raw) != length:
			return nil, fmt.Errorf("%d bytes came, want %d", len(raw), length)
		}
		return raw, nil
	}
}
