package hosttest

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
)

// Runs is the release that a host runs before it is ordered another one.
const Runs = "1.0.0"

// SystemOf is the digest of the file that a host with a release was booted from.
func SystemOf(release string) wire.Digest {
	return wire.DigestOf(sha256.Sum256([]byte("the system of " + release)))
}

// systemOf is what a host says of its system that carries out each order at once.
func systemOf(want *host.System) *host.SystemStatus {
	s := &host.SystemStatus{Release: Runs, Slot: slots.A, State: host.SystemIdle}
	switch {
	case !want.Wanted():
	case want.Step == host.Switch:
		s.Release, s.Slot, s.State, s.Order, s.Target = want.Release, slots.B, host.SystemDone, want.Order, want.Release
	case want.Step == host.Hot:
		s.Hot, s.State, s.Order, s.Target = want.Release, host.SystemDone, want.Order, want.Release
	default:
		s.State, s.Order, s.Target = host.SystemStaged, want.Order, want.Release
	}
	s.Digest = SystemOf(s.Release)
	return s
}

// System is the system that is wanted of it; nil: it was told of none.
func (h *Host) System() *host.System {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.system
}

// Get is the body of a GET of the host API; a refusal is a *operator.Problem.
func (h *Host) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.Addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(host.ProtocolHeader, host.Spoken.String())
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return nil, operator.NewProblem(operator.CodeOf(resp.StatusCode), path, string(raw), "")
	}
	return raw, err
}
