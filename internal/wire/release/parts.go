package release

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
)

// Part is a piece of a system that is the same or another one in two releases.
type Part string

// The programs among the parts. They can be replaced while the system runs: hot.
const (
	Agent   Part = "agent"
	Netd    Part = "netd"
	Spawner Part = "spawner"
	Console Part = "console"
	JEM     Part = "jem"
)

// The other parts. They wait for a reboot.
const (
	KernelPart    Part = "kernel"
	Arguments     Part = "arguments" // of the kernel
	Modules       Part = "modules"
	Microcode     Part = "microcode"
	Stage1        Part = "stage1" // what runs before there is a root
	Init          Part = "init"
	Root          Part = "root"       // what else there is in the root, but for what says the release's name
	ComponentsSet Part = "components" // the images that an infra machine brings with it
)

// hot are the programs, in the order in which they are replaced: the agent is last, since it carries out what is wanted.
var hot = []Part{JEM, Netd, Console, Spawner, Agent}

// PartsSection is the section of a UKI that holds its Parts, as JSON. Loaders and stubs pass over it.
const PartsSection = ".parts"

// Parts are the digests of a system's parts. Those of two systems are the same where nothing that runs differs.
type Parts map[Part]wire.Digest

// Validate says what is wrong, or nil.
func (p Parts) Validate() error {
	if len(p) > 100 {
		return fmt.Errorf("there are %d, want at most 100", len(p))
	}
	for name, d := range p {
		if name == "" || len(name) > 50 {
			return fmt.Errorf("name %.60q: want 1 to 50 bytes", name)
		}
		if err := d.Validate(); err != nil {
			return fmt.Errorf("digest of %q: %v", name, err)
		}
	}
	return nil
}

// Hot decides whether a machine that runs a system of the parts from can be given the programs of the parts to without a reboot: which
// programs are others, in the order in which they are replaced; or why it can't, in words that follow "can't be hot: ". A part that is not
// known here waits for a reboot.
func Hot(from, to Parts) (programs []Part, why string) {
	switch {
	case len(from) == 0:
		return nil, "the system that was booted does not say what it is made of"
	case len(to) == 0:
		return nil, "it does not say what it is made of"
	}
	var others []string
	for _, of := range []Parts{from, to} {
		for name := range of {
			if from[name] != to[name] && !slices.Contains(hot, name) && !slices.Contains(others, string(name)) {
				others = append(others, string(name))
			}
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		return nil, fmt.Sprintf("it has another %s, for which a reboot is needed", strings.Join(others, ", "))
	}
	for _, name := range hot {
		switch {
		case from[name] == to[name]:
		case to[name] == "":
			return nil, fmt.Sprintf("it has no %s any more", name)
		default:
			programs = append(programs, name)
		}
	}
	return programs, ""
}
