package boot

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[RegistryConfig](t, "registry-config")
	golden.Wire[ResolverConfig](t, "resolver-config")
	golden.Wire[NetbootConfig](t, "netboot-config")
	golden.Wire[PatcherConfig](t, "patcher-config")
	golden.Wire[MeteringConfig](t, "metering-config")
	golden.Wire[Bundle](t, "bundle")
	golden.Wire[OrchestratorSeed](t, "orchestrator-seed")
	golden.Wire[AgentStatus](t, "agent-status")
	golden.Wire[HostConfig](t, "host-config")
	golden.Wire[Status](t, "init-status")
	golden.Wire[NetworkStatus](t, "network-status")
	golden.Wire[NetworkTrial](t, "network-trial")
	golden.Wire[BundledImage](t, "bundled-image")
	golden.Wire[Shutdown](t, "shutdown")
	golden.Wire[Ended](t, "ended")
	golden.Wire[HotOrder](t, "hot-order")
}
