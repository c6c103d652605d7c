package host

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/internal/wire/tune"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/internal/wire/volume"
)

// Peers is what every host must know of the others: who they are, how to reach them, which addresses lie behind them, and the names
// its DNS answers.
type Peers struct {
	Version  int            `json:"version"` // PeersVersion
	Revision wire.Revision  `json:"revision"`
	Cluster  wire.ClusterID `json:"cluster"`
	Range4   netip.Prefix   `json:"range4"`          // all container addresses of the cluster
	Range6   netip.Prefix   `json:"range6,omitzero"` // likewise
	Hosts    []Peer         `json:"hosts"`           // all enrolled hosts, this one included
	Gossip   GossipKeys     `json:"gossip"`
	Names    []Name         `json:"names,omitempty"`
	Groups   []Group        `json:"groups,omitempty"` // who may talk to whom
	Registry []string       `json:"registry,omitempty"`
}

// Peer is one host as the others see it.
type Peer struct {
	ID       wire.HostID `json:"id"`
	Name     string      `json:"name"`
	Role     Role        `json:"role"`
	Identity []byte      `json:"identity"` // Ed25519 public key (32 bytes): verifies its gossip cards
	Underlay netip.Addr  `json:"underlay,omitzero"`
	// its other addresses, sorted, at most MaxAddrs: containers reach no more there than at Underlay
	Addrs   []netip.Addr   `json:"addrs,omitempty"`
	Boot    string         `json:"boot,omitempty"`    // boot id the mesh key belongs to
	MeshKey string         `json:"meshKey,omitempty"` // WireGuard public key, base64, of that boot
	Blocks  []netip.Prefix `json:"blocks"`            // container addresses that live there
	// Moved are single addresses from other hosts' blocks that live there now, and those of Blocks that it got after the first ones.
	Moved []netip.Prefix `json:"moved,omitempty"`
	Sum   Sum            `json:"sum,omitempty"` // of this form of it, in a PeersChange and in what a host keeps of it
}

// Role is what a host is for (DESIGN "Words").
type Role string

// The roles.
const (
	RoleUser       Role = "user"
	RoleInfra      Role = "infra"
	RoleHypervisor Role = "hypervisor"
)

// GossipKeys are memberlist's keys: Use encrypts, all of Accept decrypt (rotation: accept everywhere, then use, then drop).
// Each key is 32 bytes.
type GossipKeys struct {
	Use    secret.Bytes   `json:"use"`
	Accept []secret.Bytes `json:"accept,omitempty"`
}

// GossipKeyIDs name the keys a host's gossip works with now, without telling them.
type GossipKeyIDs struct {
	Use    string   `json:"use"`
	Accept []string `json:"accept,omitempty"` // the others
}

// GossipKeyID names a gossip key: the first eight bytes of a hash of it, in hex.
func GossipKeyID(key secret.Bytes) string {
	sum := sha256.Sum256(append([]byte("hardnode gossip key\n"), key.Reveal()...))
	return hex.EncodeToString(sum[:8])
}

// Name is one DNS answer of the cluster: FQDN without the trailing dot, e.g. "node101.hello.internal", TTL 1 s.
type Name struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
}

// Group lists addresses that may open connections to each other: an account's containers. Address of different groups may not.
// The group "jelastic" may reach every group's HTTP ports (the resolver).
type Group struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
}

// MaxAddrs is how many addresses of a host besides Underlay the others are told of.
const MaxAddrs = 16

// HostAddr tells whether a can be an address other machines find a host at: no loopback, multicast, link-local, unspecified or reserved
// one.
func HostAddr(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) {
		return false
	}
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// Report is what a host says of itself; it is status only.
type Report struct {
	Boot     string        `json:"boot"` // boot id: changes with every boot
	Seq      int64         `json:"seq"`  // grows within a boot
	Sent     time.Time     `json:"sent"` // the host's clock
	Version  string        `json:"version"`
	Underlay netip.Addr    `json:"underlay"`
	Addrs    []netip.Addr  `json:"addrs,omitempty"` // of its links, Underlay among them
	MeshKey  string        `json:"meshKey"`         // WireGuard public key of this boot, base64
	Capacity Capacity      `json:"capacity"`
	Load     Load          `json:"load"`
	Work     wire.Revision `json:"work"` // the Work revision that is fully applied (0: none)
	Seen     wire.Revision `json:"seen"` // the Work revision that is on disk
	// Closed is why the host refuses containers that it never had, in words; "": it takes them, or does not say.
	Closed string `json:"closed,omitempty"`
	// Moves: it knows Container.Move; a host that does not would make a container anew that comes with its data.
	Moves bool `json:"moves,omitempty"`
	// Planned is the Work revision that Containers was looked at and planned for: what that Work names not and Containers names not either
	// is removed, and each status is an answer to that Work, whatever becomes of the other containers. 0: see PlannedFor.
	Planned wire.Revision `json:"planned,omitempty"`
	Peers   wire.Revision `json:"peers"` // the Peers revision that is applied
	// Containers are all that the host has; nil only in an unchanged renewal. An orchestrator that knows no such renewals refuses a report
	// without them, so it never takes one for the report of a host that has none.
	Containers []ContainerStatus `json:"containers,omitzero"`
	Gossip     []GossipView      `json:"gossip,omitempty"`
	Keys       GossipKeyIDs      `json:"keys,omitzero"` // the gossip keys it works with now
	Problems   []Problem         `json:"problems,omitempty"`
	Boots      []upkeep.Boot     `json:"boots,omitempty"` // its last ones and why they came, the newest first; not in an unchanged renewal
	// System is how its system is; nil of an agent that does not say it. Not in an unchanged renewal.
	System *SystemStatus `json:"system,omitempty"`
	// Protection is nil of an agent that does not say it. Not in an unchanged renewal.
	Protection *Protection `json:"protection,omitempty"`
	// Disks are the machine's, by their own account; nil of an agent that does not say it. Not in an unchanged renewal.
	Disks []smart.Health `json:"disks,omitempty"`
	// Leaving: the machine is being left, by whoever ordered it and why; By is "" when it is its own doing. nil: it is not.
	Leaving *upkeep.Leave `json:"leaving,omitempty"`

	Late string `json:"late,omitempty"` // why there was no report before this one for longer than usual; "" when there was

	// Digest names this report, which is whole; "" of an agent that sends no others.
	Digest wire.Digest `json:"digest,omitempty"`
	// Unchanged is the digest of an earlier report of this boot that the orchestrator said it keeps (ReportReply.Kept): Containers and
	// Gossip are left out, for they are that one's (Report.Complete). "" in a whole report.
	Unchanged wire.Digest `json:"unchanged,omitempty"`
}

// PlannedFor is Planned; of an agent that does not say it, the revision that is fully applied, 0 if there is none.
func (r *Report) PlannedFor() wire.Revision {
	if r.Planned == 0 {
		return r.Work
	}
	return r.Planned
}

// ReportReply answers a Report.
type ReportReply struct {
	Now        time.Time `json:"now"`                  // the orchestrator's clock
	State      string    `json:"state"`                // this host's state as the orchestrator sees it (wire/operator.HostState)
	Unlicensed string    `json:"unlicensed,omitempty"` // reason, when nothing new is placed here

	Peers wire.Revision `json:"peers,omitempty"` // of the newest Peers document; 0: not said

	// Kept is the digest of the whole report that the host's next may be unchanged from. "": the next must be whole; and if it answers an
	// unchanged renewal, that was not taken in, and the whole one is sent at once.
	Kept wire.Digest `json:"kept,omitempty"`

	// Every is how soon the next report is wanted when nothing changes, in milliseconds; 0: ReportEvery. See Next.
	Every int64 `json:"everyMs,omitempty"`
}

// Next is how soon the host reports again when nothing changes: what the orchestrator asks for, within what a host does.
func (r *ReportReply) Next() time.Duration {
	if r.Every <= 0 || r.Every > ReportAtMost.Milliseconds() { // the second by mistake: reports that come too soon harm nobody
		return ReportEvery
	}
	return max(ReportEvery, time.Duration(r.Every)*time.Millisecond)
}

// Capacity is what a host has in all.
type Capacity struct {
	MemoryBytes int64 `json:"memoryBytes"`
	CPUs        int   `json:"cpus"`
	MHz         int64 `json:"mhz"` // base frequency of one CPU
	DiskBytes   int64 `json:"diskBytes"`
}

// Load is what a host uses now.
type Load struct {
	MemoryUsed int64   `json:"memoryUsed"` // MemTotal − MemFree − reclaimable cache, bytes
	DiskUsed   int64   `json:"diskUsed"`
	Load1      float64 `json:"load1"`
	UptimeSec  int64   `json:"uptimeSec"`

	Pressure Pressure `json:"pressure,omitzero"`

	// Swap is how many bytes may be swapped out to compressed memory, 0 where none may; SwapUsed is how many are.
	Swap     int64 `json:"swap,omitempty"`
	SwapUsed int64 `json:"swapUsed,omitempty"`

	// Connections are those in the kernel's table of them, MaxConnections is how many there is room for.
	Connections    int64 `json:"connections,omitempty"`
	MaxConnections int64 `json:"maxConnections,omitempty"`
}

// Pressure is how much work waits for what the host is short of: percent of the last ten seconds (kernel: Documentation/accounting/psi).
type Pressure struct {
	CPU    float64 `json:"cpu"`    // some of it waited for a CPU
	Memory float64 `json:"memory"` // all of it waited for memory
	IO     float64 `json:"io"`     // all of it waited for a disk
}

// ContainerState is where a container is now.
type ContainerState string

// The container states.
const (
	CtWaiting  ContainerState = "waiting"  // wanted, a step before it is not done yet (Reason says which)
	CtStarting ContainerState = "starting" // its process runs, its check has not passed yet
	CtRunning  ContainerState = "running"  // its process runs and its check passes (or it has none)
	CtFailing  ContainerState = "failing"  // exited or unhealthy, being restarted with back-off (Reason)
	CtStopping ContainerState = "stopping" // wanted stopped or gone, its processes still run
	CtStopped  ContainerState = "stopped"  // wanted stopped, no process runs
	CtBroken   ContainerState = "broken"   // can't be run until its Work changes (Reason)
)

// ContainerStatus is one container's status. Its texts say the same as long as nothing happens: what counts time is a field.
type ContainerStatus struct {
	CTID       wire.CTID      `json:"ctid"`
	Generation int64          `json:"generation"`
	Boot       int64          `json:"boot,omitempty"` // Container.Boot that State is an answer to
	State      ContainerState `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	// NextStart is when a container that does not run is started again, zero when nothing is waited for. It is a moment of the host's
	// clock, as Report.Sent is (see Report.At): kept once for each wait, it does not change from report to report, which a time left would.
	// The host itself waits by its monotonic clock; should its wall clock be set meanwhile, what is shown here is off until the next start.
	NextStart   time.Time `json:"nextStart,omitzero"`
	Started     time.Time `json:"started,omitzero"`
	Restarts    int       `json:"restarts"`
	ExitCode    int       `json:"exitCode"` // of the last exit; 128+n for signal n
	MemoryBytes int64     `json:"memoryBytes"`
	CPUMicros   int64     `json:"cpuMicros"` // cpu.stat usage_usec
	DiskBytes   int64     `json:"diskBytes"`
	// Strain is what it lacks, looked at every 30 seconds; it changes without a whole report.
	Strain strain.Strain `json:"strain,omitzero"`
	// Tuned is what its servers made of its last new size.
	Tuned tune.Tuned `json:"tuned,omitzero"`
	// Move is how far it has moved, while its Work has a part of that.
	Move *move.State `json:"move,omitempty"`
	// Volumes are all that it has on disk.
	Volumes []volume.Use `json:"volumes,omitempty"`
	// Of components: the image it runs, or shall run, by digest; and the version that this host went back from by itself.
	Image    wire.Digest `json:"image,omitempty"`
	WentBack WentBack    `json:"wentBack,omitzero"`
}

// WentBack is a version of a component that a host tried and went back from by itself, since it failed or was not confirmed in time. The
// zero value is none.
type WentBack struct {
	Generation int64  `json:"generation"`
	Reason     string `json:"reason"`
	At         int64  `json:"at"` // Unix seconds
}

// GossipView is what this host's gossip says of another: a hint, never an authority. Agents of protocol 1 say it of all others, later
// ones of those that are dead only.
type GossipView struct {
	Host  wire.HostID `json:"host"`
	Alive bool        `json:"alive"`
}

// Problem is something on this host a person should know, in the words of the API's errors.
type Problem struct {
	Code   string    `json:"code"`
	Object string    `json:"object"`
	Reason string    `json:"reason"`
	Next   string    `json:"next"`
	CTID   wire.CTID `json:"ctid,omitempty"`
}
