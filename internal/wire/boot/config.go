// Package boot is the dialect of a machine coming up: the host's configuration document, where it comes from, and what the programs of
// one host tell each other below /run/hardnode.
//
// Owns: HostConfig and its strict decoding, the paths below /run/hardnode, the init status document.
// In: YAML from fw_cfg, a volume, a URL or the console; JSON below /run/hardnode.
// Out: a valid HostConfig; an error with line and column.
// Never: does I/O, or knows how a link is set up.
//
// History: 2026-11-22 version 1. 2026-11-26 HostConfig.Install. 2026-11-27 Status.Name, Status.TTYs,
// Console.Password, HostConfig.Log, Link.Bond, Link.VLAN, Link.Routes, LinkStatus.State,
// HostConfig.Releases, AgentStatus.System and Console.Key.
// Storage.Swap.
package boot

import (
	"net/netip"
	"strconv"
	"strings"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
)

// Where things lie on a running host.
const (
	RunDir     = "/run/hardnode"
	LogDir     = RunDir + "/log"           // a file a program that init keeps: its last lines, in RAM; <name>.1 is the file before
	ConfigFile = RunDir + "/host.json"     // HostConfig as JSON, written by netd once it is found and valid; 0600
	ConfigText = RunDir + "/hardnode.yaml" // the text of it as it was found, 0600
	// where it was found, for people: one line, written by netd beside it
	ConfigSourceFile = RunDir + "/host.source"
	BundleFile       = RunDir + "/bundle.json" // infra hosts: the Day-0 bundle as found, 0600, removed once imported
	NotifySocket     = RunDir + "/notify"      // sd_notify datagrams to init
	// HTTP/JSON of init: GET /v1/status → Status, GET /v1/loaded (waits), POST /v1/reboot, POST /v1/poweroff {"reason","by"},
	// POST /v1/quiet {"tty"} (as long as the connection). ConsoleUser may only ask for the status, and for quiet.
	InitSocket    = RunDir + "/init.sock"
	SpawnerSocket = RunDir + "/spawner.sock" // agent ↔ spawner
	AgentSocket   = RunDir + "/agent.sock"   // HTTP/JSON of the agent's own API (also on vsock port AgentVsockPort)
	// HTTP/JSON of netd: GET /v1/links → []LinkStatus, GET /v1/network → NetworkStatus, POST /v1/network/try with a NetworkTrial, POST
	// /v1/network/confirm, POST /v1/network/revert, POST /v1/config with a document (YAML) while there is none; ?check=1 only checks it
	NetdSocket = RunDir + "/netd.sock"
	// small, durable: identity, desired, init's boot count (on DATA's subvolume "state" when there is no STATE partition)
	StateDir = "/state"
	DataDir  = "/data"                      // btrfs: containers, volumes, images
	ImageDir = "/usr/share/hardnode/images" // images the boot medium carries: <hex digest>.erofs and index.json ([]BundledImage)

	SlotsFile   = StateDir + "/slots.json"   // what is known of an installed host's slots (internal/disk/bootorder)
	SettledFile = RunDir + "/slot"           // the slot that this boot is from, once it has shown that it is well
	NetworkFile = StateDir + "/network.json" // the network that was confirmed in place of the configuration's (init/netd/trial)
	// ResetFile is the wish, durable, that the next boot makes DATA and STATE empty: one line, who wished for it
	ResetFile = StateDir + "/reset"

	// ConsoleUser is the user and group that the program at the terminals runs as: it has no rights but to the terminals and its sockets.
	ConsoleUser = 990

	// NotifyGroup is the group of programs that run as another user than root, and tell init how they are (NotifySocket).
	NotifyGroup = 992

	// ViewDir is where the files lie that containers see in place of their host's in /proc, a directory a container (agent/procview). init
	// mounts it. ViewUser is the user and group of the program that answers there: it has no rights at all.
	ViewDir  = RunDir + "/view"
	ViewUser = 991
	// StartedAttr is the extended attribute of a container's cgroup that says when it was made: nanoseconds of CLOCK_BOOTTIME. The agent
	// sets it, procview reads it.
	StartedAttr = "user.hardnode.started"

	AgentVsockPort = 7440
	FwCfgConfig    = "opt/hardnode/config" // QEMU fw_cfg names
	FwCfgBundle    = "opt/hardnode/bundle"
	TrialArgument  = "hardnode.trial="  // kernel argument: seconds within which a system from the network must be well
	ConfigArgument = "hardnode.config=" // kernel argument: the URL of the configuration
	SlotArgument   = "hardnode.slot="   // kernel argument: the slot of a system that another kernel started, which no loader has chosen
)

// HostConfig is the one document that makes a booted image a host of a cluster.
type HostConfig struct {
	Version int       `json:"version" yaml:"version"` // 1
	Name    string    `json:"name" yaml:"name"`       // wanted host name, a DNS label; the certificate says the one in force. May be empty where there is no token
	Role    host.Role `json:"role" yaml:"role"`
	Join    *Join     `json:"join,omitempty" yaml:"join"`
	Network Network   `json:"network" yaml:"network"`
	Storage Storage   `json:"storage" yaml:"storage"`
	Console Console   `json:"console" yaml:"console"`
	Log     *Log      `json:"log,omitempty" yaml:"log,omitempty"`
	// Releases is how the repositories of releases are known; without it the host runs what it was booted with.
	Releases *Releases `json:"releases,omitempty" yaml:"releases,omitempty"`
	// Install puts the system onto a disk, once; an installed host has the section too, and does nothing with it.
	Install *install.Spec `json:"install,omitempty" yaml:"install,omitempty"`
}

// Join is how the host finds and proves itself to its cluster.
type Join struct {
	Cluster   string      `json:"cluster" yaml:"cluster"`     // cluster id
	Endpoints []string    `json:"endpoints" yaml:"endpoints"` // host:port of the host API, tried in order
	CAPin     string      `json:"caPin" yaml:"caPin"`         // "sha256:" + hex SHA-256 of the root CA's SubjectPublicKeyInfo
	Token     secret.Text `json:"token" yaml:"token"`         // one-time join token; without one the host waits to be admitted
}

// Releases is how the two repositories of signed releases are known: by their first roots. Both must name what this host is to run.
type Releases struct {
	Image    wire.Digest `json:"image" yaml:"image"`       // pin of the image repository: digest of its 1.root.json
	Director wire.Digest `json:"director" yaml:"director"` // likewise of the director's
}

// Network names the links netd owns. With no links given, every Ethernet link uses DHCP.
type Network struct {
	Links []Link `json:"links,omitempty" yaml:"links"`
	// name of the link whose first address other hosts use; "" is the first one that has addresses or DHCP
	Underlay string   `json:"underlay,omitempty" yaml:"underlay"`
	NTP      []string `json:"ntp,omitempty" yaml:"ntp"` // time servers, asked in this order until one answers
}

// Link is one network interface: a card, chosen by MAC or PCI path and given a name of its own, or what is made of other links: a bond of
// cards, or a VLAN on a card or a bond. A card in a bond has nothing but its name; a link that VLANs are on needs no addresses.
type Link struct {
	Name      string         `json:"name" yaml:"name"` // at most 15 characters
	MAC       string         `json:"mac,omitempty" yaml:"mac"`
	PCI       string         `json:"pci,omitempty" yaml:"pci"` // e.g. 0000:00:03.0
	Bond      *Bond          `json:"bond,omitempty" yaml:"bond,omitempty"`
	VLAN      *VLAN          `json:"vlan,omitempty" yaml:"vlan,omitempty"`
	DHCP      bool           `json:"dhcp,omitempty" yaml:"dhcp"`
	Addresses []netip.Prefix `json:"addresses,omitempty" yaml:"addresses"`     // IPv4 and IPv6
	Gateway   netip.Addr     `json:"gateway,omitzero" yaml:"gateway"`          // of the default route
	Routes    []Route        `json:"routes,omitempty" yaml:"routes,omitempty"` // beside the gateway
	DNS       []netip.Addr   `json:"dns,omitempty" yaml:"dns"`
	// bytes, 1280–9216; 0 leaves the driver's. A bond's is that of its cards; a VLAN's is at most that of the link below, which 0 takes
	MTU int `json:"mtu,omitempty" yaml:"mtu"`
}

// BondMode says which cards of a bond carry frames.
type BondMode string

const (
	ActiveBackup BondMode = "active-backup" // one of them; needs nothing of the switch
	LACP         BondMode = "802.3ad"       // all of them; the switch must speak LACP (IEEE 802.1AX) on these ports
)

// Bond is several cards that are one link.
type Bond struct {
	Mode  BondMode `json:"mode" yaml:"mode"`
	Links []string `json:"links" yaml:"links"` // names of 1 to 16 links, each a card
	// name of the card that carries the frames whenever it can; active-backup only. "": the one that does goes on
	Primary string `json:"primary,omitempty" yaml:"primary,omitempty"`
}

// VLAN is one tagged network (IEEE 802.1Q) of another link.
type VLAN struct {
	ID   int    `json:"id" yaml:"id"`     // 1–4094
	Link string `json:"link" yaml:"link"` // name of a card or a bond
}

// Route is a network that is reached over a router.
type Route struct {
	To  netip.Prefix `json:"to" yaml:"to"`
	Via netip.Addr   `json:"via" yaml:"via"` // on one of the link's networks, or an IPv6 link-local address
}

// Storage says where DATA lies.
type Storage struct {
	// Data is a device such as /dev/vda, "auto" (the only blank disk), or "none" (RAM-resident: DATA on zram).
	Data string `json:"data,omitempty" yaml:"data"`
	// Wipe must name the same device as Data to allow a disk that holds something to be formatted.
	Wipe string `json:"wipe,omitempty" yaml:"wipe"`
	// Swap is how much may be swapped out to compressed memory: "auto" or "" (half of the memory on hosts of the role user, none on
	// others), "none", or a share of the memory such as "25%", at most "100%". It takes at most half of that in memory itself.
	Swap string `json:"swap,omitempty" yaml:"swap"`
}

// SwapPercent is Swap in percent of the memory of a host of that role.
func (s Storage) SwapPercent(role host.Role) int {
	switch n, ok := percent(s.Swap); {
	case ok:
		return n
	case s.Swap != "none" && role == host.RoleUser:
		return 50
	}
	return 0
}

// percent reads a share from 1% to 100%.
func percent(s string) (n int, ok bool) {
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	ok = ok && err == nil && n >= 1 && n <= 100 && strconv.Itoa(n) == digits
	return n, ok
}

// Console lists the terminals that show the boot log and the status line; absent ones are skipped.
type Console struct {
	TTYs []string `json:"ttys,omitempty" yaml:"ttys"` // e.g. ttyS0, tty1; empty: the kernel's consoles
	// Password is what is asked for at a terminal before a change, in its kept form (internal/secret/password). Without one, and
	// without a Key, nothing of a configured host can be changed there.
	Password secret.Text `json:"password,omitempty" yaml:"password"`
	// Key is the public key of a challenge that is asked in place of the password (internal/secret/challenge): whoever holds its private
	// half may change what the password allows.
	Key string `json:"key,omitempty" yaml:"key"`
}

// Status is what init says of the boot and its services.
type Status struct {
	Boot     string          `json:"boot"` // boot id
	Steps    []StepStatus    `json:"steps"`
	Services []ServiceStatus `json:"services"`
	Problem  string          `json:"problem,omitempty"` // why the host waits, for the console
	Name     string          `json:"name,omitempty"`    // the host's, from its configuration; "": there is none yet
	TTYs     []string        `json:"ttys,omitempty"`    // the terminals that the host is shown on
	Hot      *Hot            `json:"hot,omitempty"`     // nil: all programs are those that were booted, and no others were asked for
}

// StepStatus is one row of the boot table.
type StepStatus struct {
	Name   string `json:"name"`
	Millis int64  `json:"millis"` // how long it took
	At     int64  `json:"at"`     // milliseconds since kernel start
	Err    string `json:"err,omitempty"`
}

// ServiceStatus is one supervised program.
type ServiceStatus struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`
	State    string `json:"state"` // starting, ready, backoff, stopped
	Restarts int    `json:"restarts"`
	LastExit string `json:"lastExit,omitempty"`
	Since    int64  `json:"since"` // milliseconds since kernel start
	Program  string `json:"program,omitempty"`
}

// LinkStatus is one link as netd sees it.
type LinkStatus struct {
	Name      string         `json:"name"`
	MAC       string         `json:"mac"`
	Up        bool           `json:"up"`
	Addresses []netip.Prefix `json:"addresses"`
	Underlay  bool           `json:"underlay"`
	State     string         `json:"state,omitempty"` // of a bond, for people: "active-backup: up0 active, up1 down"
	Problem   string         `json:"problem,omitempty"`
}

// NetworkStatus is which network is in force, as netd says.
type NetworkStatus struct {
	Confirmed Network       `json:"confirmed"`       // what is in force after a reboot
	Kept      bool          `json:"kept,omitempty"`  // it was confirmed at the host, and is not the configuration's
	Trial     *NetworkTrial `json:"trial,omitempty"` // in force now
}

// NetworkTrial is a network that is in force until it is confirmed or its time is over.
type NetworkTrial struct {
	Network Network `json:"network"`
	Seconds int     `json:"seconds,omitempty"` // for how long, or how much is left; asked for, 0 is a minute
}

// BundledImage is one image the boot medium carries.
type BundledImage struct {
	host.Image
	Process host.Process `json:"process"`
}
