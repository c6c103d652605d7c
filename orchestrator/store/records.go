package store

import (
	"net/netip"
	"strings"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

// The tables. The comment names the package that writes the record; nobody else does.
var (
	Clusters   = table[Cluster]("cluster") // seed import (main), once; named Only
	Hosts      = table[Host]("host")       // enroll (converge: Host.More); by host id
	JoinTokens = table[JoinToken]("join")  // enroll (import of the seed makes them); by token id
	// the owner of each counter: "ctid" and Published converge, "order" enroll, "block" both: how many blocks were given, "account-groups"
	// accounts
	Numbers    = table[Number]("number")
	Envs       = table[Environment]("env")           // ops; by environment name
	Nodes      = table[Node]("node")                 // converge; by CTID
	Cursors    = table[Cursor]("cursor")             // converge; by host id
	Works      = table[host.Work]("work")            // converge; by host id
	Systems    = table[System]("system")             // systems; by host id (enroll: removed with the host)
	PeersDoc   = table[host.Peers]("peers")          // converge; named Only
	EnvNames   = table[Names]("names")               // converge; by environment name
	GossipKeys = table[GossipKey]("gossip")          // converge, from the first rotation on; named Only
	Operations = table[Operation]("operation")       // ops; by operation id (converge makes those of its own work)
	Tokens     = table[Token]("token")               // authz; by token id
	Keys       = table[IdempotencyKey]("key")        // api; by hash of token and key
	Templates  = table[host.Template]("template")    // templates; by TemplateKey
	Licenses   = table[License]("license")           // licensing (the seed's import makes it); named Only
	Leases     = table[Lease]("lease")               // licensing; named Only
	Cordons    = table[Cordon]("cordon")             // ops (enroll removes it with its host); by host id
	Netboots   = table[Netboot]("netboot")           // pxe, while it is switched on; named Only
	Leaves     = table[Leave]("leave")               // ops (enroll removes it with its host); by host id
	Components = table[Component]("component")       // components, from the first replacement on; by the component's name
	Accounts   = table[Account]("account")           // accounts; by the account's name; the admins' has none
	Domains    = table[Domain]("domain")             // domains; by host name
	Fronts     = table[Front]("front")               // domains; by environment
	WebCAs     = table[WebCA]("webca")               // domains; named Only
	ACMEs      = table[ACME]("acme")                 // certify, while a CA is named; named Only
	Issues     = table[Issue]("issue")               // certify; by host name
	Askeds     = table[Asked]("asked")               // certify; by account
	DNSs       = table[DNS]("dns")                   // zones, while the cluster answers for its domain; named Only
	Groups     = table[AccountGroup]("accountgroup") // accounts; by the group's name
	Users      = table[User]("user")                 // users (accounts: they leave with the last one); by UserKey
	Sessions   = table[Session]("session")           // users; by hash
	Actings    = table[Acting]("acting")             // users; by hash
	Identities = table[Identity]("identity")         // users (accounts: they go with theirs); by IdentityKey
	Passkeys   = table[Passkey]("passkey")           // users (accounts: they go with theirs); by PasskeyKey
	Links      = table[Link]("link")                 // users (accounts: they go with theirs); by Link.Key
	Shares     = table[Share]("share")               // shares (accounts: they go with theirs); by ShareKey

	OIDCs       = table[OIDC]("oidc")             // idp, while a provider is named; named Only
	MailServers = table[MailServer]("mailserver") // mail, while one is named; named Only
	Outbox      = table[Mail]("mail")             // mail (users put them in); by id
)

// The indices.
var (
	NodesOf = index(Nodes, func(n *Node) string { return string(n.Env) })  // by environment
	NodesOn = index(Nodes, func(n *Node) string { return string(n.Host) }) // by host

	UsersOf    = index(Users, func(u *User) string { return u.ID })                        // by id: one
	SessionsOf = index(Sessions, func(s *Session) string { return s.User })                // by the user's id
	ActingOf   = index(Actings, func(a *Acting) string { return a.User })                  // by the user's id
	IdentityOf = index(Identities, func(i *Identity) string { return i.User })             // by the user's id: one
	PasskeysOf = index(Passkeys, func(p *Passkey) string { return p.User })                // by the user's id
	LinksBy    = index(Links, func(l *Link) string { return l.Hash })                      // by the hash of the secret: one
	TokensOf   = index(Tokens, func(t *Token) string { return t.user() })                  // by the id of whom they end with; ""
	TokensIn   = index(Tokens, func(t *Token) string { return string(t.Account.Owner()) }) // by account
	DomainsOf  = index(Domains, func(d *Domain) string { return string(d.Env) })           // by environment

	SharesOf   = index(Shares, func(s *Share) string { return string(s.Env) })  // by environment
	SharesWith = index(Shares, func(s *Share) string { return string(s.With) }) // by the account that it is shared with

	OperationsIn = index(Operations, func(o *Operation) string { return choose(o.State.Final(), Ended, Unended) })
	EnvsOf       = index(Envs, func(e *Environment) string { return string(e.Account.Owner()) }) // by account
	EnvsIn       = index(Envs, func(e *Environment) string {
		return choose(e.InTrash(), Trashed, choose(e.Failed != nil, Failed, ""))
	})
)

// The keys of OperationsIn, and of EnvsIn of those that are in the trash, and of others that a failed creation left ("" of the rest).
const (
	Unended = "unended"
	Ended   = "ended"
	Failed  = "failed"
	Trashed = "trashed"
)

func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// TemplateKey is the record name of a template: a template's own name may hold "/".
func TemplateKey(n wire.TemplateName) string { return strings.ReplaceAll(string(n), "/", "!") }

// Only names the record of a table that has one.
const Only = "only"

// Cluster is what Day 0 decided and nothing changes later.
type Cluster struct {
	ID       wire.ClusterID `json:"id"`
	Name     string         `json:"name"`
	Domain   string         `json:"domain"`
	Range4   netip.Prefix   `json:"range4"`
	Range6   netip.Prefix   `json:"range6,omitzero"`
	Infra    boot.InfraHost `json:"infra"`
	Registry []string       `json:"registry,omitempty"` // host:port hosts pull from
	Gossip   secret.Bytes   `json:"gossip"`
	// FirstWork is the revision of the first Assignment, which the infra host has run since before it joined.
	FirstWork wire.Revision `json:"firstWork"`
	Imported  time.Time     `json:"imported"`
}

// Published counts the changes of Peers and Names together: what hosts are told of both has one revision.
const Published = "peers"

// Names is what the cluster's name servers answer of one environment. Peers of earlier orchestrators held those of all.
type Names struct {
	Nodes  []host.Name `json:"nodes,omitempty"`  // of each node by its number; their addresses are its part of its group
	Layers []host.Name `json:"layers,omitempty"` // of its layers, or of a component
}

// GossipKey is the gossip key, and where replacing it is (converge/rotate). Before the first rotation it is Cluster.Gossip.
type GossipKey struct {
	Use   secret.Bytes `json:"use"`
	Next  secret.Bytes `json:"next,omitempty"` // not used before all accept it
	Old   secret.Bytes `json:"old,omitempty"`  // accepted until all use the new one
	Since time.Time    `json:"since"`          // when the step under way, or the rest after the last, began
	By    string       `json:"by"`             // who asked
}

// Netboot is how machines boot from the network, while netboot is switched on.
type Netboot struct {
	Interface string    `json:"interface"`           // of the infra host
	All       bool      `json:"all,omitempty"`       // every machine that asks is answered, else those of For alone
	For       []string  `json:"for,omitempty"`       // MACs, lower case
	Release   string    `json:"release,omitempty"`   // "": the newest that was imported
	Target    string    `json:"target"`              // release.Target of the image
	Addresses string    `json:"addresses,omitempty"` // that are given out, and what is told with them (host.ParseGiven)
	Router    string    `json:"router,omitempty"`
	DNS       []string  `json:"dns,omitempty"`
	Pin       string    `json:"pin"` // of the root CA: what machines are given, and the component believes
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

// Rotating tells whether a rotation is under way.
func (k GossipKey) Rotating() bool { return len(k.Next) > 0 || len(k.Old) > 0 }

// Host is an enrolled host: identity and place in the cluster. What it says of itself now is orchestrator/live's.
type Host struct {
	ID     wire.HostID  `json:"id"`
	Name   string       `json:"name"`
	Role   host.Role    `json:"role"`
	Key    []byte       `json:"key"`    // enrolled Ed25519 public key: its identity
	Code   string       `json:"code"`   // that the host shows: identity.Code, or ShortCode if it joined with version 0.1
	Number int          `json:"number"` // of its first address block; 0: it is the infra host the cluster began on
	Order  int64        `json:"order"`  // of joining: the licence counts by it
	Block4 netip.Prefix `json:"block4"`
	Block6 netip.Prefix `json:"block6,omitzero"`
	// More are its further address blocks, in the order it got them: converge's, the one field of the record that is. Orchestrators before
	// 2026-11-26 keep them and give out no address of them.
	More     []netip.Prefix `json:"more,omitempty"`
	External string         `json:"external,omitempty"`
	Hardware host.Hardware  `json:"hardware"`
	Joined   time.Time      `json:"joined"`
	Token    string         `json:"token"` // id of the join token it used
	// Labels are what those who run the cluster say of it, for placing. Orchestrators before 2026-11-29 keep them, and don't heed them.
	Labels map[string]string `json:"labels,omitempty"`
}

// Cordon keeps new nodes off a host. It outlives restarts of the orchestrator and of the host. Orchestrators before 2026-11-27 keep it, and
// don't heed it.
type Cordon struct {
	operator.HostCordon
	Drain *Drain `json:"drain,omitempty"` // nil: what runs on it stays
}

// Drain is that a host is emptied of users' nodes, and kept so as long as it is cordoned.
type Drain struct {
	Operation wire.OperationID `json:"operation"`        // host.drain: while it has not ended it holds the host
	Stop      bool             `json:"stop,omitempty"`   // nodes that no other host takes are stopped where they are
	NoMove    bool             `json:"noMove,omitempty"` // nodes with volumes stay, and are stopped
	Ended     time.Time        `json:"ended,omitzero"`   // when the operation ended
	Failed    string           `json:"failed,omitempty"` // why that did not empty the host: what still runs there stays
}

// Leaves tells whether nodes that run on the host leave it.
func (c *Cordon) Leaves() bool { return c != nil && c.Drain != nil && c.Drain.Failed == "" }

// Leave is that a host was ordered to leave its machine. It is there from before the host is told until it is back in another boot.
// Orchestrators before 2026-11-27 keep it, and take a host that is away for a while for lost.
type Leave struct {
	upkeep.Leave
	Boot string    `json:"boot"` // the one that ends
	At   time.Time `json:"at"`
	// Until is when a host that boots anew is expected back: its nodes wait for it as long. Zero: it is switched off.
	Until time.Time `json:"until,omitzero"`
}

// Component is which version of a component of the platform shall run. There is no record of one that never was replaced. Orchestrators
// before 2026-11-27 keep it and don't heed it: the node says the same.
type Component struct {
	Name    string           `json:"name"`
	CTID    wire.CTID        `json:"ctid"`
	Version ComponentVersion `json:"version"`
	// ConfirmBy is when its host goes back to Before by itself, and Before the version it then runs; nil: nothing is tried.
	ConfirmBy time.Time         `json:"confirmBy,omitzero"`
	Before    *ComponentVersion `json:"before,omitempty"`
	Last      int64             `json:"last"` // the highest generation that was given
	By        string            `json:"by"`
	Reason    string            `json:"reason,omitempty"`
	At        time.Time         `json:"at"` // of the order
	Failed    *ComponentFailure `json:"failed,omitempty"`
}

// ComponentVersion is a component out of a release; Release "" is the one it was made with.
type ComponentVersion struct {
	Release    string       `json:"release,omitempty"`
	Generation int64        `json:"generation"`
	Image      host.Image   `json:"image"`
	Process    host.Process `json:"process"`
}

// ComponentFailure is the end of the last version that was tried and did not stay.
type ComponentFailure struct {
	Release string    `json:"release"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// System is what is wanted of a host's system, or that an order was taken back.
type System struct {
	host.System
	At time.Time `json:"at"`
	// Of a host that boots from the network: the release that ran when the order was given, and what became of it.
	Was    string           `json:"was,omitempty"`
	Ended  host.SystemState `json:"ended,omitempty"` // SystemDone, SystemFailed; "": not yet
	Failed string           `json:"failed,omitempty"`
	// Good is the release that a host which boots from the network came up with last: it is served that one where nothing is ordered.
	Good string `json:"good,omitempty"`
}

// JoinToken is a one-time permission to join and what became of it. One that has a text is good for whoever brings it; one that was made by
// admitting a machine has a key, no text and no hash, so that orchestrators of version 0.1 take nothing for it.
type JoinToken struct {
	boot.JoinToken
	Key    []byte      `json:"key,omitempty"` // Ed25519 public key of the machine that it admits
	UsedBy wire.HostID `json:"usedBy,omitempty"`
	UsedAt time.Time   `json:"usedAt,omitzero"`
}

// Number is a counter: Next has not been given to anybody.
type Number struct {
	Next int64 `json:"next"`
}

// Cursor remembers the last address given out of a host's blocks, so that a freed one is not used again soon.
type Cursor struct {
	Last int `json:"last"` // its place: of the first block the last octet (orchestrator/blocks)
}

// Want is what shall become of an environment.
type Want string

// The wants.
const (
	WantRunning Want = "running"
	WantStopped Want = "stopped"
	WantDeleted Want = "deleted"
)

// Environment is an environment as its owner wants it.
type Environment struct {
	Spec    operator.EnvironmentSpec `json:"spec"`
	Account wire.Account             `json:"account,omitempty"` // whose it is: set since schema 3
	Want    Want                     `json:"want"`
	Created time.Time                `json:"created"`
	By      string                   `json:"by"`
	// Operation is the last one that was accepted. While it has not ended it holds the environment: no other may change it, but for one
	// that may interrupt it. It stands in this record so that of two accepted at the same moment one fails to commit.
	Operation wire.OperationID `json:"operation,omitempty"`
	// Failed is set from the failure of its creation until all of it has run, or it is removed.
	Failed *Failure `json:"failed,omitempty"`
	// System marks "jelastic": its nodes come from the first Assignment and its wants can't be changed here.
	System bool `json:"system,omitempty"`

	Walls []Wall `json:"walls,omitempty"` // firewalls of its nodes

	Ports []PublishedPort `json:"ports,omitempty"` // of its nodes

	Addresses []PublicAddress `json:"addresses,omitempty"` // of its nodes

	Mounts []NodeMount `json:"mounts,omitempty"` // of its nodes

	Schedules []NodeSchedule `json:"schedules,omitempty"` // of its nodes' snapshots

	// Restart is that some of its nodes are started anew, as long as the operation has not ended; nil: none are.
	Restart *Restart `json:"restart,omitempty"`

	// Group: its nodes and those of the account's other environments of this group talk to each other, and to no others.
	Group wire.GroupName `json:"group,omitempty"`

	// Held is why it does not run, whatever is wanted: its account is suspended. "": it does as it is wanted. The accounts' (accounts), the
	// one field of the record that is. Orchestrators before 2026-11-28 keep it, and have the nodes run.
	Held string `json:"held,omitempty"`

	// Trash: it was put into the trash; nil: it was not.
	Trash *Trash `json:"trash,omitempty"`
}

// Runs tells whether its nodes shall run.
func (e *Environment) Runs() bool { return e.Want == WantRunning && e.Held == "" }

// Failure is a creation that did not succeed. What it made stays, to be looked at, for FailedFor; then it is removed, unless it is Kept.
type Failure struct {
	Operation wire.OperationID `json:"operation"`
	At        time.Time        `json:"at"` // of the last try: the creation, or a start after it
	Reason    string           `json:"reason"`
	Kept      bool             `json:"kept,omitempty"`
}

// FailedFor is how long what a failed creation left is kept.
const FailedFor = 7 * 24 * time.Hour

// Removal is when the environment is removed; zero if it is kept.
func (f Failure) Removal() time.Time {
	if f.Kept {
		return time.Time{}
	}
	return f.At.Add(FailedFor)
}

// Node is one placed container.
type Node struct {
	CTID      wire.CTID      `json:"ctid"`
	Env       wire.EnvName   `json:"env"`
	Layer     wire.LayerName `json:"layer"`
	Index     int            `json:"index"` // position in its layer; a replacement has the index of the node it replaces
	Host      wire.HostID    `json:"host"`  // "" until placed (components, before the infra host has joined)
	Placed    string         `json:"placed"`
	Cloudlets wire.Cloudlets `json:"cloudlets"`
	HTTP      uint16         `json:"http,omitempty"` // port the resolver sends requests to; 0 is none
	Created   time.Time      `json:"created"`
	// Assigned is the revision of its host's Work in which its container, or whether it runs, changed last; for one that is Gone, in which
	// it was left out. What a host reports answers for the node from that revision on. 0: written before this was kept.
	Assigned wire.Revision `json:"assigned,omitempty"`
	// Gone: no longer wanted; the record stays until its host says that the container is removed. Why says why.
	Gone bool   `json:"gone,omitempty"`
	Why  string `json:"why,omitempty"`
	// ReplacedBy is the node that took this one's place when its host became unreachable.
	ReplacedBy wire.CTID `json:"replacedBy,omitempty"`
	// Halted is why it does not run though its environment shall: it stays on a host that is drained. "": it does as its environment.
	// Orchestrators before 2026-11-27 keep it, and have the node run.
	Halted string `json:"halted,omitempty"`
	// Waits is why it does not run yet though its environment shall: layers that its own starts after don't. Stays is why it still runs
	// though its environment is stopped: layers that start after its own have not stopped yet. Orchestrators before 2026-11-28 keep them,
	// and have the node do as its environment.
	Waits string `json:"waits,omitempty"`
	Stays string `json:"stays,omitempty"`
	// Replaces is the node that goes once this one runs: its layer is being spread over hosts, or its host is drained. 0: none, or no more.
	Replaces wire.CTID `json:"replaces,omitempty"`
	// Moving: it goes to another host with its data, or has come and is removed where it was. Moved: its addresses are of a block of a host
	// that it has moved from.
	Moving *Moving `json:"moving,omitempty"`
	// Tried is the last drain of its host by which it was to go to another one with its data, and did not.
	Tried wire.OperationID `json:"tried,omitempty"`
	Moved bool             `json:"moved,omitempty"`
	// Made is which spec of its layer it is made of, while an edit is at work or being undone. nil: its environment's. Orchestrators before
	// 2026-11-28 keep it and leave the node as it is.
	Made *Made `json:"made,omitempty"`
	// Former is what it was before its last redeploy; nil: it had none, or that can't be undone any more. Orchestrators before 2026-11-29
	// keep it, and undo nothing.
	Former *Former `json:"former,omitempty"`
	// Quiet: it is about to be started anew, or has just been: what comes for it by the resolvers goes to others, or waits. Orchestrators
	// before 2026-11-29 keep it, and have it reach the node.
	Quiet     *Quiet         `json:"quiet,omitempty"`
	Restarted *Restarted     `json:"restarted,omitempty"` // nil: never
	Container host.Container `json:"container"`           // as in Work; Run is filled in from the environment's want
}

// Made is what a node is made of while its environment is edited.
type Made struct {
	Spec operator.LayerSpec `json:"spec"`
	At   time.Time          `json:"at,omitzero"` // when the edit changed it; zero: it has not
	// Before is the node before the edit changed it: undoing makes exactly that again, whatever its template's name stands for now.
	Before *Before `json:"before,omitempty"`
}

// Before is a node as it was before an edit.
type Before struct {
	Spec      operator.LayerSpec `json:"spec"`
	Cloudlets wire.Cloudlets     `json:"cloudlets"`
	HTTP      uint16             `json:"http,omitempty"`
	Container host.Container     `json:"container"`
}

// Quiet is that nothing comes for a node.
type Quiet struct {
	At      time.Time `json:"at"`                // since then
	Stopped bool      `json:"stopped,omitempty"` // it was told to start anew
}

// Former is a node before its last redeploy, which can be undone until then.
type Former struct {
	Before
	Until time.Time `json:"until"`
}

// UndoFor is how long a redeploy can be undone once it is done: its hosts keep what nodes' disks had, which takes room as these change.
const UndoFor = 24 * time.Hour

// Operation is an operation with what resuming it needs.
type Operation struct {
	operator.Operation
	Env  wire.EnvName `json:"env,omitempty"`
	Node wire.CTID    `json:"node,omitempty"` // node.replace: the new node
	Old  wire.CTID    `json:"old,omitempty"`  // node.replace: the replaced node
	// Host is the host that it works on, for host.drain, and Nodes are those that were on it then. Cordon is what cancelling it brings
	// back; nil: the host was not cordoned, or it has ended.
	Host   wire.HostID `json:"host,omitempty"`
	Nodes  []wire.CTID `json:"nodes,omitempty"`
	Cordon *Cordon     `json:"cordon,omitempty"`
	// Before is what undoing the operation makes wanted again; nil when there was nothing before it, or it has ended. It is kept by value:
	// the store forgets old revisions.
	Before *Earlier `json:"before,omitempty"`
	// Remove: env.create: if it fails, what it made is removed at once.
	Remove bool `json:"remove,omitempty"`
	// Settled: env.edit: all that stays or is new is as it shall be: what goes may go, and there is nothing to be undone any more.
	Settled bool `json:"settled,omitempty"`
	// From and To are the hosts of a node.move.
	From wire.HostID `json:"from,omitempty"`
	To   wire.HostID `json:"to,omitempty"`
	// Copied is how many bytes a node.move had copied when it came further last.
	Copied int64 `json:"copied,omitempty"`
	// Made is when its environment was created: it is no operation of another one of the same name. Zero: it is of none, or an orchestrator
	// before 2026-11-29 stored it.
	Made time.Time `json:"made,omitzero"`
}

// Of tells whether it is an operation of an environment that was created at a time.
func (o *Operation) Of(made time.Time) bool {
	if o.Made.IsZero() {
		return !o.Created.Before(made)
	}
	return o.Made.Equal(made)
}

// Earlier is what was wanted of an environment before an operation.
type Earlier struct {
	Spec operator.EnvironmentSpec `json:"spec"`
	Want Want                     `json:"want"`
	// Walls are the firewalls of its layers before an operation that changed them; nil: it did not.
	Walls *Walls `json:"walls,omitempty"`
}

// Account is who owns environments, and how much of the cluster they may have. Orchestrators before 2026-11-28 keep it and don't heed it.
type Account struct {
	Name    wire.Account   `json:"name"`
	Title   string         `json:"title,omitempty"`
	Contact string         `json:"contact,omitempty"`
	Group   string         `json:"group,omitempty"` // "": account.DefaultGroup
	State   account.State  `json:"state"`
	Reason  string         `json:"reason,omitempty"`
	Since   time.Time      `json:"since"`
	Ends    time.Time      `json:"ends,omitzero"` // of a trial, or when a closing account is erased
	Created time.Time      `json:"created"`
	By      string         `json:"by"`
	Limits  account.Limits `json:"limits,omitempty"` // its own: the others are its group's
	// Counted grows with each thing that was admitted: of two at the same moment that fit one by one and not together one fails to commit.
	Counted int64 `json:"counted,omitempty"`
}

// AccountGroup is a set of accounts that are treated alike.
type AccountGroup struct {
	Name   string         `json:"name"`
	Title  string         `json:"title,omitempty"`
	Days   int            `json:"days,omitempty"` // new accounts are trials of so many days; 0: they are not
	Limits account.Limits `json:"limits,omitempty"`
	SignUp bool           `json:"signUp,omitempty"` // people make accounts of it by themselves
	// Trash is for how many days environments of its accounts stay in the trash; 0: operator.TrashDays. Orchestrators before 2026-11-29
	// keep it, and have no trash.
	Trash int `json:"trash,omitempty"`
	// Rates are how often each account in it may ask the API; zero: account.Rates. Orchestrators before 2026-11-29 keep them, and don't
	// heed them.
	Rates account.APIRates `json:"rates,omitzero"`
}

// Session is a sign-in of a user; only the hash of its token is kept.
type Session struct {
	ID      string       `json:"id"`
	User    string       `json:"user"` // id
	Account wire.Account `json:"account"`
	Hash    string       `json:"hash"` // hex SHA-256 of the text
	Kind    string       `json:"kind"` // where it began: api or panel
	From    string       `json:"from"`
	Begun   time.Time    `json:"begun"`
	Used    time.Time    `json:"used"` // by a person: it is written once a minute
}

// SessionIdle and SessionLongest are the life of a session: without anything asked, and whatever is done in it.
const (
	SessionIdle    = 8 * time.Hour
	SessionLongest = 24 * time.Hour
)

// Ends is when a session ends that was used last then.
func (s *Session) Ends(used time.Time) time.Time {
	lazy, old := used.Add(SessionIdle), s.Begun.Add(SessionLongest)
	if lazy.Before(old) {
		return lazy
	}
	return old
}

// Token is a bearer token; only its hash is kept.
type Token struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Account wire.Account `json:"account,omitempty"` // whose it is: set since schema 3
	Hash    string       `json:"hash"`              // hex SHA-256 of the text
	Scopes  []string     `json:"scopes"`
	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires,omitzero"`
	// Narrow: it is for some environments only, and then Scopes is empty: orchestrators before 2026-11-28, which don't heed this, let it do
	// nothing.
	Narrow *Narrow `json:"narrow,omitempty"`
	// Maker is who made it; nil: it was made before that was kept (2026-11-28). Orchestrators of then let it do what Scopes say.
	Maker *Maker `json:"maker,omitempty"`
	// Over: it is refused, and kept for a while, for people to read why. Scopes and Narrow are empty then: earlier orchestrators let it do
	// nothing either.
	Over *TokenOver `json:"over,omitempty"`
	// Rate is how often it may ask at most; zero: what its account's group says.
	Rate account.APIRate `json:"rate,omitzero"`
}

func (t *Token) user() string {
	if t.Maker == nil {
		return ""
	}
	return t.Maker.User
}

// Maker is who made a token.
type Maker struct {
	Kind operator.Maker `json:"kind"`
	ID   string         `json:"id,omitempty"`   // of the user or the token
	Name string         `json:"name,omitempty"` // mail address or name, as it was then
	// User is the id of the user with whom the token ends and whose role in Account bounds it: the maker, or the maker of the token that
	// made it, and so on. "": there is none.
	User    string       `json:"user,omitempty"`
	Account wire.Account `json:"account,omitempty"` // that the maker was signed in to, or the token's that made it
}

// TokenOver is how a token ended by itself.
type TokenOver struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
	Had Narrow    `json:"had"` // what it might do
}

// Narrow is what a token may do, and in which environments: one at least.
type Narrow struct {
	Envs   []wire.EnvName `json:"envs"`
	Scopes []string       `json:"scopes"`
}

// IdempotencyKey remembers the answer to a POST for a day.
type IdempotencyKey struct {
	Name      string           `json:"name"` // the record's own name, so that old ones can be found and dropped
	Body      string           `json:"body"` // hex SHA-256 of path and body
	Operation wire.OperationID `json:"operation"`
	Created   time.Time        `json:"created"`
}

// License is the licence the installation runs under, as text: it is verified at every start and every change.
type License struct {
	Text string `json:"text"`
}

// Lease is the newest lease the JLS gave, and where the licence stood at the last look.
type Lease struct {
	Token    string           `json:"token"`
	Renewed  time.Time        `json:"renewed,omitzero"` // last answer of the JLS
	Standing license.Standing `json:"standing"`
	Limited  time.Time        `json:"limited,omitzero"` // since when nothing may be added; hosts that join later are over the count
}
