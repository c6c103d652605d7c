// Package container makes and ends containers on this host's kernel, and says what exists.
//
// Owns: the order in which a container is put together and taken apart; its mounts, subvolumes, process and log. Cgroups, profiles,
// sessions and records have rooms of their own below this one, none of which knows it.
// In: StartSpec (a wanted container, resolved for this host), limits, exec and log requests.
// Out: Observed (whatever exists, in any form), exit hints, session results; errors that name the step.
// Never: decides that a container should run, restarts one, fetches an image or knows another host.
package container

import (
	"context"
	"log/slog"
	"os"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/container/shortage"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
	"hardnode.dev/internal/wire/strain"
	wirevolume "hardnode.dev/internal/wire/volume"
)

// Options says where things lie; the zero value of each field is what its comment says.
type Options struct {
	DataDir string       // btrfs with containers, volumes and logs; "" is boot.DataDir
	RunDir  string       // "" is boot.RunDir
	Spawner string       // socket; "" is boot.SpawnerSocket
	JEM     string       // static program bound read-only into every container; "" is /usr/lib/hardnode/jem
	Cgroup  string       // parent cgroup of all containers; "" is /sys/fs/cgroup/ct
	View    string       // where agent/procview answers; "" is boot.ViewDir
	Mounts  Mounts       // of other containers' volumes; nil: there can be none
	Kmsg    string       // the kernel's log; "" is /dev/kmsg
	Log     *slog.Logger // nil discards
}

// Mounts are the volumes of other containers (agent/mount).
type Mounts interface {
	// Open mounts one, attached nowhere; undo takes it back.
	Open(ctx context.Context, id wire.CTID, m mount.Mount) (tree *os.File, undo func() error, err error)
	// End has all that a container asks of its mounts end with an error at once.
	End(id wire.CTID)
}

func (o *Options) fill() {
	for _, f := range []struct {
		at  *string
		std string
	}{{&o.DataDir, boot.DataDir}, {&o.RunDir, boot.RunDir}, {&o.Spawner, boot.SpawnerSocket},
		{&o.JEM, "/usr/lib/hardnode/jem"}, {&o.Kmsg, "/dev/kmsg"}, {&o.View, boot.ViewDir}, {&o.Cgroup, cgroup.Root + "/ct"}} {
		if *f.at == "" {
			*f.at = f.std
		}
	}
}

// Errors a caller may test with errors.Is.
var (
	ErrRunning    = fault.ErrRunning
	ErrNotRunning = fault.ErrNotRunning
	ErrNotFound   = fault.ErrNotFound
	ErrInvalid    = fault.ErrInvalid
)

// StartSpec is one wanted container with what only this host knows.
type StartSpec struct {
	host.Container

	// first host uid and gid of its range of 65536, a multiple of that; large (call.LargeRanges) if its image has IDBlocks
	UIDBase        uint32
	ImagePath      string     // the erofs file
	CPUMaxMicros   int64      // CPU time per 100 ms over all CPUs, in µs (from Limits.CPUMHz and the base frequency); 0 is no ceiling
	Resolv         []byte     // /etc/resolv.conf; nil leaves the image's
	Hosts          []byte     // /etc/hosts; nil leaves the image's
	Handed         []*os.File // Sockets, open, in their order; the caller closes them
	IdentitySocket string     // jelastic only: bound at /run/hardnode/identity.sock; "" for none

	// Network, if set, gets the new network namespace before the process runs ("lo" is already up) and returns how to undo what it
	// did; undo is called only if a later step of this Start fails. The namespace is the callee's only for the call.
	Network func(ctx context.Context, netns *os.File) (undo func(), err error)
}

// State is what there is of a container.
type State string

// The states. A container that was never started, or was removed, is not observed at all.
const (
	StateRunning State = "running" // its process runs
	StateExited  State = "exited"  // its process ended; ExitCode says how
	StateStopped State = "stopped" // only data on disk (after Stop, or after the host was restarted)
	// processes in its cgroup that the spawner does not know, or a first process that can't end: Stop or Remove ends them
	StateOrphan State = "orphan"
)

// Left is how a full OS ended by its own will.
type Left string

// The ways. A container that was ended from outside, or whose first process failed, has none.
const (
	LeftNot      Left = ""
	LeftReboot   Left = "reboot"   // it wants to be started again
	LeftPowerOff Left = "poweroff" // it wants to stay down
)

// Observed is one container as it exists now.
type Observed struct {
	CTID       wire.CTID
	State      State
	PID        int    // host's view, of its PID 1; 0 unless running
	Generation int64  // of the layer on disk
	UIDBase    uint32 // of the range its processes run in; 0 when there are none, or it is not known
	// as last started, Files without Data; zero for StateStopped and StateOrphan, and when the note of the start is damaged
	Spec      host.Container
	FilesHash string // hex SHA-256 over Files' paths, modes and data as started (see FilesHash)
	Started   time.Time
	Exited    time.Time
	ExitCode  int          // 128+n for signal n; meaningful only with ExitKnown
	ExitKnown bool         // false when the spawner was replaced while the process ran
	OOM       shortage.OOM // what the kernel killed in it because memory ran out, since it was started
	OOMKilled bool         // that is why it is StateExited
	Booting   bool         // it runs, and has yet to say that it is ready
	Left      Left         // how a full OS has ended itself, when it is StateExited
	Restarts  int          // starts of this generation beyond the first

	MemoryBytes int64
	CPUMicros   int64
	DiskBytes   int64 // its layer and volumes
	Strain      strain.Strain
	InVolumes   []wirevolume.Use
	Set         limits.Set // what the kernel has of its limits, when it runs
	Trouble     string     // what could not be seen of it, and why; "" when all was
	Volumes     []string   // names on disk
	Leftovers   []string   // what should not be there: older layers, mounts, empty cgroups; Remove or the next Start clears them
}

// Exit hints that a container's process ended. Hints can be lost; Observe is the truth.
type Exit struct {
	CTID wire.CTID
	Code int
}
