// Package host is the dialect between the orchestrator and the host agents: what a host shall run (Assignment), what it says of
// itself (Report), how it joins (Enrol), and the frames of exec and log sessions.
//
// Owns: the types, their decoding, and the paths of the host API (TCP 7444, mutual TLS 1.3, JSON).
// In: bytes from the link or from agent/desired's file on disk.
// Out: valid values; an error naming the field and the rule it broke.
// Never: does I/O, decides anything, or carries what a person types (that is wire/operator).
//
// History: 2026-11-22 version 1. 2026-11-22 Container.Remove. 2026-11-25 Report.Planned, the container state stopping.
// 2026-11-25 Process.Groups; Templates.Imports, Template.Warnings, Used. 2026-11-25 Image.IDBlocks, ExecSpec.User.
// 2026-11-25 Report.Keys and Late, ReportReply.Peers, Load.Pressure. 2026-11-26 Templates.Runs.
// 2026-11-26 Container.Account, Template.Account, Import.Account, ImportRun.Account; Report.Digest and
// Unchanged, ReportReply.Kept; Peers and names as differences (Assignment.PeersChange, Assignment.Names, Peer.Sum), for protocol 2.
// 2026-11-27 Assignment.Session, for protocol 3.
// 2026-11-26 Routes as differences (Routes.From, Routes.Gone), for a resolver whose call has RoutesChanges.
// 2026-11-27 SessionRequest.Snapshots.
// 2026-11-27 Volume.NoCOW, ContainerStatus.Volumes.
// 2026-11-27 Container.Sockets, Netboot. 2026-11-27 Template.Volumes.
// 2026-11-27 Load.Swap, Load.SwapUsed.
// 2026-11-27 Assignment.System, Report.System; the paths of releases. 2026-11-27 ContainerStatus.Image and WentBack.
// 2026-11-27 Container.Firewall, Container.Ports, Zone.Group.
// 2026-11-27 Limits.Ceilings.
// 2026-11-27 Container.Addresses. 2026-11-27 Load.Connections.
// 2026-11-27 Container.Mounts, Container.Shares. 2026-11-27 ContainerStatus.Tuned. 2026-11-27 Container.Snapshots.
// 2026-11-27 Container.Move, ContainerStatus.Move. 2026-11-28 Report.Closed.
// 2026-11-27 Report.Moves. 2026-11-27 Backend.Held.
// 2026-11-27 Report.Disks. 2026-11-28 Container.Boot, ContainerStatus.Boot. 2026-11-29 Container.Formers,
// Container.Begins.
package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/ceiling"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/mount"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/snapshot"
)

// Paths of the host API. The caller's name comes from its certificate, never from a body.
const (
	PathEnroll    = "/host/v1/enroll"     // POST EnrollRequest → EnrollReply; no client certificate, a join token
	PathRenew     = "/host/v1/renew"      // POST RenewRequest → RenewReply; the last certificate, even an expired one
	PathComponent = "/host/v1/component"  // POST ComponentRequest → RenewReply; a certificate for a jelastic container on this host
	PathAssigned  = "/host/v1/assignment" // GET ?QUERY&wait=30s (Known.Query) → Assignment; long poll, 204 when nothing is newer
	PathErrors    = "/host/v1/errors"     // POST jls.ErrorReport → jls.ErrorsReply
	PathReport    = "/host/v1/report"     // POST Report → ReportReply; at least every ReportEvery: it renews the host's link
	PathSessions  = "/host/v1/sessions"   // GET ?wait=30s → SessionRequest; long poll, 204 when nobody asks; before ProtocolSessions
	PathSession   = "/host/v1/session/"   // GET + id: WebSocket the agent dials back (see Frame)
	PathRoutes    = "/host/v1/routes"     // GET ?rev=N&wait=30s → Routes; for the component "resolver"
	// PathReleases + REPOSITORY/NAME: GET → a file of a repository's metadata, as it is; 404 where there is none. REPOSITORY is "image" or
	// "director" (internal/release/trust).
	PathReleases = "/host/v1/releases/"
	// PathReleaseFiles + DIGEST: GET ?offset=N&length=N → bytes of a file of a release, MaxRange at most
	PathReleaseFiles = "/host/v1/release-files/"
)

// ReportEvery is how often a host reports when nothing changes; three lost reports make it UNREACHABLE. In a large cluster it is longer
// (ReportReply.Every), ReportAtMost at most.
const (
	ReportEvery  = time.Second
	ReportAtMost = 1350 * time.Millisecond
)

// MaxRange is the most bytes of a file of a release in one answer.
const MaxRange = 1 << 20

// Assignment is all that one host shall be. Work is whole, never a delta, and so are Peers, which have the names of all, in protocol 1. In
// protocol 2 Peers and names are differences, and a host is told the names that its own containers may see. A nil part is unchanged from
// what the host named (Known).
type Assignment struct {
	Work        *Work        `json:"work,omitempty"`
	Peers       *Peers       `json:"peers,omitempty"`       // protocol 1
	PeersChange *PeersChange `json:"peersChange,omitempty"` // protocol 2
	Names       *NamesChange `json:"names,omitempty"`       // protocol 2
	System      *System      `json:"system,omitempty"`      // for hosts that name the one they have, or none (Known.System)
	// Session is no document: it asks the host to open one session, and is answered by dialling back. Protocol 3.
	Session *SessionRequest `json:"session,omitempty"`
}

// Work is the list of this host's containers.
type Work struct {
	Version    int           `json:"version"` // WorkVersion
	Revision   wire.Revision `json:"revision"`
	Containers []Container   `json:"containers"`
}

// WorkVersion and PeersVersion are the versions of the two documents this package reads and writes.
const (
	WorkVersion  = 1
	PeersVersion = 1
)

// Container is one container as it shall be. Its identity is CTID; a higher Generation of the same CTID means "make it anew from the
// image, keep its volumes and addresses".
type Container struct {
	CTID       wire.CTID      `json:"ctid"`
	Env        wire.EnvName   `json:"env"`
	Account    wire.Account   `json:"account,omitempty"` // of its environment; Owner says whose it is where there is none
	Layer      wire.LayerName `json:"layer"`
	Hostname   string         `json:"hostname"` // a DNS label, at most 63 characters
	Generation int64          `json:"generation"`
	// Boot: a higher one of the same Generation means "end what runs and start it again, as all of this says": its files stay, as they do
	// not in a new generation, but for those that are listed. What is not part of a start, such as limits, needs none. Agents before
	// 2026-11-28 know of none.
	Boot int64 `json:"boot,omitempty"`
	Run  bool  `json:"run"` // false: keep its data, stop its processes
	// true: stop it and delete its data; the only way to remove a container of "jelastic"
	Remove  bool       `json:"remove,omitempty"`
	Image   Image      `json:"image"`
	Process Process    `json:"process"`
	Profile Profile    `json:"profile"`
	Limits  Limits     `json:"limits"`
	IPv4    netip.Addr `json:"ipv4"`
	IPv6    netip.Addr `json:"ipv6,omitzero"`
	Volumes []Volume   `json:"volumes,omitempty"`
	// Dropped are names of volumes that it had once: their data is removed, once no start that had them runs. Agents before 2026-11-28
	// keep it until the container goes.
	Dropped []string `json:"dropped,omitempty"`
	// Formers are what it was before, as long as that may come back. Agents before 2026-11-29 keep nothing of an earlier generation.
	Formers []Former `json:"formers,omitempty"`
	Begins  *Begins  `json:"begins,omitempty"` // what it begins with; nil: its image, and of the layer before what is listed
	Files   []File   `json:"files,omitempty"`
	Publish []Port   `json:"publish,omitempty"`
	Sockets []Socket `json:"sockets,omitempty"` // opened in the host's own network; the component netboot alone has some
	// Firewall narrows what may come to it and leave it, of users' containers alone; an agent that knows none lets pass what its groups do
	Ports     []Port                `json:"ports,omitempty"` // published likewise, of users' containers; unique in the cluster
	Firewall  []firewall.PacketRule `json:"firewall,omitempty"`
	Addresses []netip.Addr          `json:"addresses,omitempty"` // public ones, which its host answers for; unique in the cluster
	Mounts    []mount.Mount         `json:"mounts,omitempty"`    // volumes of others
	Shares    []mount.Share         `json:"shares,omitempty"`    // who may mount its volumes
	Snapshots *snapshot.Schedule    `json:"snapshots,omitempty"` // taken by its host itself; nil: none
	Move      *move.Part            `json:"move,omitempty"`      // it goes to another host, or comes from one
	Check     *Check                `json:"check,omitempty"`
	Component string                `json:"component,omitempty"` // set for containers of "jelastic": the component's name
	ConfirmBy time.Time             `json:"confirmBy,omitzero"`  // jelastic only: without confirmation by then the last version comes back
	Labels    map[string]string     `json:"labels,omitempty"`
}

// Container finds one of w's containers; w may be nil.
func (w *Work) Container(id wire.CTID) (Container, bool) {
	if w != nil {
		for _, c := range w.Containers {
			if c.CTID == id {
				return c, true
			}
		}
	}
	return Container{}, false
}

// Image names the erofs file that is the container's lower layer.
type Image struct {
	Name   wire.TemplateName `json:"name"`   // for people
	Digest wire.Digest       `json:"digest"` // SHA-256 of the erofs file: what is fetched and verified
	Bytes  int64             `json:"bytes"`  // size of the erofs file
	// IDBlocks are the blocks of 65,536 user and group ids beside the first that its files or its user need: block n begins at n × 65,536.
	// Ascending, at most MaxIDBlocks. A container has no other ids.
	IDBlocks []uint16 `json:"idBlocks,omitempty"`
}

// MaxIDBlocks is the most blocks of ids an image may need beside the first.
const MaxIDBlocks = 15

// Has tells whether a container of the image has a user or group id.
func (i Image) Has(id uint32) bool {
	return id < 1<<16 || id != 1<<32-1 && slices.Contains(i.IDBlocks, uint16(id>>16)) // the last number means "none" to the kernel
}

func (i Image) validateIDs() error {
	if len(i.IDBlocks) > MaxIDBlocks {
		return fmt.Errorf("image: has %d blocks of ids, at most %d are allowed", len(i.IDBlocks), MaxIDBlocks)
	}
	last := uint16(0)
	for _, b := range i.IDBlocks {
		if b <= last {
			return fmt.Errorf("image: id blocks %v: want ascending numbers from 1", i.IDBlocks)
		}
		last = b
	}
	return nil
}

// Process is what runs as PID 1 of an app container. Argv[0] is an absolute path in the image or is looked up in PATH.
type Process struct {
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env,omitempty"`
	// Sealed are variables as the orchestrator stores them; a host is told them in Env.
	Sealed    map[string][]byte `json:"sealed,omitempty"`
	Cwd       string            `json:"cwd,omitempty"`       // absolute; "" is "/"
	UID       uint32            `json:"uid,omitempty"`       // in the container's user namespace: one that Image.Has
	GID       uint32            `json:"gid,omitempty"`       // likewise
	Groups    []uint32          `json:"groups,omitempty"`    // supplementary groups, at most MaxGroups; GID need not be among them
	Reaper    bool              `json:"reaper,omitempty"`    // put a tiny reaping init before the process
	StopAfter int               `json:"stopAfter,omitempty"` // seconds between the stop signal and the kill; 0 is 10
	StopWith  string            `json:"stopWith,omitempty"`  // signal name such as "SIGQUIT"; "" is SIGTERM (app) or SIGRTMIN+3 (system)
}

// MaxGroups is the most supplementary groups a process may have.
const MaxGroups = 64

// Profile selects seccomp, capabilities, devices and masked paths.
type Profile string

// The two profiles (DESIGN "Containers").
const (
	ProfileApp    Profile = "app"    // one program and its children
	ProfileSystem Profile = "system" // a full OS with systemd as PID 1
)

// Limits are a container's resource limits; all can change while it runs. 0 means "no limit" unless said otherwise.
type Limits struct {
	MemoryMin  int64 `json:"memoryMin"`  // bytes the kernel won't reclaim: reserved cloudlets × 128 MiB
	MemoryHigh int64 `json:"memoryHigh"` // bytes above which it is throttled and reclaimed
	MemoryMax  int64 `json:"memoryMax"`  // bytes it can never exceed: dynamic cloudlets × 128 MiB
	CPUWeight  int   `json:"cpuWeight"`  // 1–10000 (cgroup v2 cpu.weight); 0 is 100
	CPUMHz     int64 `json:"cpuMHz"`     // ceiling in MHz: dynamic cloudlets × 400; the agent divides by the host's base frequency
	PIDs       int64 `json:"pids"`       // tasks; 0 is 1024
	DiskBytes  int64 `json:"diskBytes"`  // quota of the container's own layer
	// Ceilings are what it may use in a second, and swap
	Ceilings ceiling.Ceilings `json:"ceilings,omitzero"`
}

// MaxDropped is how many volumes that were dropped a container remembers at most.
const MaxDropped = 100

// Volume is a subvolume of this host mounted into the container; it outlives generations. A new one begins as a copy of what the image has
// at its path.
type Volume struct {
	Name  string `json:"name"`  // unique in the container, a DNS label
	Path  string `json:"path"`  // absolute path inside
	Bytes int64  `json:"bytes"` // its quota; 0 is none
	// NoCOW: its files are written in place and have no checksums, for databases that have their own. It counts when the volume is made. A
	// host whose data lies on two disks forgoes it: their copies could differ.
	NoCOW bool `json:"noCow,omitempty"`
}

// File is a small file given to a container on a tmpfs of its own (configuration, keys): never on disk inside the container.
type File struct {
	Path string       `json:"path"` // absolute, below /run/hardnode/
	Mode uint32       `json:"mode"` // permission bits; owner is the process's UID
	Data secret.Bytes `json:"data"`
}

// Port publishes a container's port on the host's own addresses. Only containers of "jelastic" may have one.
type Port struct {
	Proto     string `json:"proto"` // "tcp" or "udp"
	Host      uint16 `json:"host"`
	Container uint16 `json:"container"`
}

// ComponentNetboot is the component that boots machines from the network, ComponentResolver the one that serves environments' pages.
const (
	ComponentNetboot  = "netboot"
	ComponentResolver = "resolver"
)

// Socket is one that the agent opens in the host's own network, on one of its cards alone, and hands to the container's process as
// sd_listen_fds(3) says: a container has no rights in that network, and broadcasts don't reach it.
type Socket struct {
	Name  string `json:"name"`  // by which the process knows it (LISTEN_FDNAMES): a DNS label
	Proto string `json:"proto"` // "tcp" or "udp"
	Port  uint16 `json:"port"`
	Link  string `json:"link"` // name of the card
}

// NetbootSockets are those that netboot takes on a card; a container can have no other ones.
func NetbootSockets(link string) []Socket {
	return []Socket{{"dhcp", "udp", 67, link}, {"tftp", "udp", 69, link}, {"boot", "udp", 4011, link}, {"http", "tcp", NetbootHTTP, link}}
}

// NetbootHTTP is the port of netboot's HTTP server: 80 is the resolver's.
const NetbootHTTP = 7448

// validateSockets says why a container can't have its sockets, or nil.
func (c Container) validateSockets() error {
	if len(c.Sockets) > 0 && (c.Env != "jelastic" || c.Component != ComponentNetboot) {
		return fmt.Errorf("sockets: only the component %s of jelastic has sockets of the host", ComponentNetboot)
	}
	names := map[string]bool{}
	for _, s := range c.Sockets {
		if !slices.Contains(NetbootSockets(s.Link), s) || names[s.Name] {
			return fmt.Errorf("socket %q, %s port %d: is not one that %s takes, or is there twice", s.Name, s.Proto, s.Port,
				ComponentNetboot)
		}
		if err := CheckLink(s.Link); err != nil {
			return fmt.Errorf("socket %q: %v", s.Name, err)
		}
		names[s.Name] = true
	}
	return nil
}

// CheckLink says why s can't be the name of a network card, or nil. The kernel's limit is 15 bytes (IFNAMSIZ).
func CheckLink(s string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' }
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("network card %q: want a name such as eth0 or underlay, of at most 15 characters", s)
	}
	return nil
}

// IsCheckPath tells whether p can be asked for: a path as it stands in a request line (RFC 9112, 3.2.1), of at most 1024 bytes.
func IsCheckPath(p string) bool {
	return p != "" && p[0] == '/' && len(p) <= 1024 && !strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Check is how the agent learns that a container serves: HTTP when Path is set (status 200–399 passes), else a TCP connection.
type Check struct {
	Port uint16 `json:"port"`
	Path string `json:"path,omitempty"`

	Every int `json:"every,omitempty"` // seconds between two checks once one has passed, 1–300; 0 is 2
}
