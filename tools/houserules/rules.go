// Package houserules holds the repository to its layout: who may import whom, what deciding packages may not touch, how big a file may
// grow.
//
// Owns: the rules, as tables with a reason in each row.
// In: the repository's own Go files.
// Out: test failures that name the file, the rule and the reason.
// Never: ships in an image.
package houserules

// Folders are the product folders: none imports another (DESIGN, section 3). They meet in internal/ and on the wire.
var folders = []string{"image", "init", "agent", "orchestrator", "jls", "tools", "qemu-tests"}

// crossings are the imports between folders that are allowed all the same.
var crossings = []struct{ from, to, reason string }{
	{"tools/devcluster", "qemu-tests/harness", "the demo boots its machines with the tests' harness"},
	{"tools/devcluster", "qemu-tests/cluster", "the demo and the tests start the same cluster"},
	{"tools/templates", "image/debian", "what a Debian package says of its sources is read in one way"},
	{"tools/fleetsim", "agent/link", "virtual hosts speak with the agent's own link, so that the protocol is written once"},
	{"tools/fleetsim", "agent/container/command", "what the link asks of a runtime has its streams"},
	{"tools/bench", "qemu-tests/harness", "benchmarks run in the tests' guests"},
	{"qemu-tests/templates", "agent/container/profile", "a template's programs may do in a test what they may do in a container"},
	{"qemu-tests/boot", "image/uki", "bad systems are made of a good one, in the way that this was made"},
}

// arrows are the imports within a folder that would climb: from may not import to, nor what is below to, itself aside.
var arrows = []struct{ from, to, reason string }{
	{"agent/container", "agent/plan", "containers are made and ended as told; what is next is decided above"},
	{"agent/container", "agent/desired", "likewise"},
	{"agent/container", "agent/apply", "likewise"},
	{"agent/network", "agent/container", "the network is given namespaces, not containers"},
	{"agent/history", "agent/apply", "what was done is remembered as values"},
	{"agent/health", "agent/container", "a check asks an address"},
	{"agent/garbage", "agent/fetch", "what may go is decided without the store of images"},
	{"orchestrator/patcher/rollout", "orchestrator/patcher", "what is decided knows nobody who carries it out"},
	{"orchestrator/metering/hours", "orchestrator/metering", "what a record counts for is decided without a database"},
	{"agent/spawner/fork", "agent/spawner/hold", "a child is made without knowing who remembers it"},
	{"agent/spawner/stray", "agent/spawner/fork", "a stray may be any child of this process"},
	{"tools/hnctl/app", "tools/hnctl/cli", "what every command gets knows no command"},
	{"tools/hnctl/app", "tools/hnctl/session", "likewise"},
	{"qemu-tests/harness", "qemu-tests/cluster", "virtual machines come before what runs in them"},
}

// own are packages only these programs may import.
var own = []struct {
	pkg    string
	by     []string
	reason string
}{
	{"internal/license/issue", []string{"jls"}, "only the licence server signs licences"},
	{"internal/release/issue", []string{"image", "jls"}, "releases are signed by the image repository's tool, and chosen by the director"},
}

// deciding packages are pure: a snapshot in, a plan out. They may not import these, nor read the clock.
var (
	deciding = []string{"agent/plan", "agent/history", "agent/container/spec", "init/reason", "orchestrator/env", "orchestrator/entitle",
		"orchestrator/place", "orchestrator/ops/progress", "orchestrator/world", "orchestrator/converge",
		"orchestrator/converge/same", "orchestrator/converge/rotate",
		"orchestrator/blocks", "orchestrator/patcher/rollout", "orchestrator/metering/hours", "internal/disk/pick",
		"internal/disk/bootorder"}
	forbidden = []string{"os", "net/http", "syscall", "golang.org/x/sys/unix", "log", "log/slog", "hardnode.dev/internal/logging"}
)

// pid1 must stay small: no TLS, no YAML, no network (DESIGN, section 2).
var (
	pid1          = "init"
	pid1Forbidden = []string{"crypto/tls", "github.com/goccy/go-yaml", "github.com/insomniacslk/dhcp/dhcpv4"}
)

// strictly are the packages that refuse unknown fields of JSON: what comes is written by people. Between programs of neighbouring versions
// they are let pass (internal/wire/neighbour).
var strictly = []struct{ pkg, reason string }{
	{"agent/localapi", "a person at the host's console asks"},
	{"init/control", "a person at the host's console asks"},
}

// goldenElsewhere are packages that keep a document whose golden files are another package's.
var goldenElsewhere = []struct{ pkg, reason string }{
	{"orchestrator/resolver/feed", "it keeps a copy of a Routes of internal/wire/host"},
	{"tools/bench/resolver", "likewise"},
}

// internals is the closed list of folders below internal/.
var internals = []string{"wire", "disk", "identity", "license", "release", "secret", "run", "keep", "logging", "limit", "build",
	"wallclock", "testkit", "jerror", "filecopy", "backup"}

// tops is the fixed top level.
var tops = []string{".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "SECURITY.md", "agent", "go.mod", "go.sum", "image", "init",
	"internal", "jls", "orchestrator", "qemu-tests", "tools"}

// banned are package names that say nothing about what the package holds.
var banned = []string{"util", "utils", "common", "helpers", "pkg", "misc", "manager", "base"}

const (
	fileLimit = 600 // lines: hard stop for a file
	mainLimit = 120 // lines: main.go is the table of contents
	lineLimit = 140 // columns of a line
	lineTab   = 4   // columns of a tab
)
