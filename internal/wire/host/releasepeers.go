package host

import "hardnode.dev/internal/wire"

// Hosts give each other the systems that they run: a release that is public, named by its digest.
const (
	// PathReleasePeers + DIGEST, of the orchestrator: GET → ReleasePeers
	PathReleasePeers = "/host/v1/release-peers/"
	// PathPeerSystem + DIGEST, of a host's PeerPort: GET ?offset=N&length=N → bytes of the system in one of its slots, MaxRange at most
	PathPeerSystem = "/peer/v1/systems/"
	// PeerPort is open for hosts of the cluster only, by their certificates.
	PeerPort = 7449
	// MountPort is open for them too, on hosts with a volume that another host mounts (agent/mount).
	MountPort = 7440
	// MaxReleasePeers is how many hosts are named.
	MaxReleasePeers = 4
)

// ReleasePeers are hosts that say they have a system; where they are is in Peers. Nobody has to believe them: the system's blocks are
// compared with the signed index.
type ReleasePeers struct {
	Hosts []wire.HostID `json:"hosts"`
}
