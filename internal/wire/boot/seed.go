package boot

import (
	"fmt"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// SeedFile is where the orchestrator finds its OrchestratorSeed.
const SeedFile = RunDir + "/seed.json"

// DecodeSeed reads an OrchestratorSeed. What its parts mean (certificates, licence) is checked by those who use them.
func DecodeSeed(raw []byte) (OrchestratorSeed, error) {
	var s OrchestratorSeed
	if err := neighbour.Decode(raw, &s); err != nil {
		return OrchestratorSeed{}, fmt.Errorf("orchestrator seed: %v", err)
	}
	if s.Version != 1 {
		return OrchestratorSeed{}, fmt.Errorf("orchestrator seed: version %d is not known, want 1", s.Version)
	}
	return s, s.Cluster.Validate()
}

// DecodeBundle reads a Bundle.
func DecodeBundle(raw []byte) (Bundle, error) {
	var b Bundle
	if err := neighbour.Decode(raw, &b); err != nil {
		return Bundle{}, fmt.Errorf("bundle: %v", err)
	}
	if b.Version != 1 {
		return Bundle{}, fmt.Errorf("bundle: version %d is not known, want 1", b.Version)
	}
	return b, b.Cluster.Validate()
}

// FirstWork is the Work of the bundle, from the seed as it was read: a seed can't contain itself, so in its Work the orchestrator's
// container lacks the file SeedFile, and gets it back here. Without that the orchestrator would take its own seed away.
func (s OrchestratorSeed) FirstWork(raw []byte) host.Work {
	w := s.Work
	w.Containers = append([]host.Container(nil), w.Containers...)
	for i, c := range w.Containers {
		if c.Component == "orchestrator" {
			w.Containers[i].Files = append(append([]host.File(nil), c.Files...),
				host.File{Path: SeedFile, Mode: 0o400, Data: secret.Bytes(raw)})
		}
	}
	return w
}
