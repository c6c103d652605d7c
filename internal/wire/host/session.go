package host

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/nodecall"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/internal/wire/usage"
)

// SessionRequest asks a host to open one session; the agent dials PathSession+ID back and speaks Frames on it.
type SessionRequest struct {
	ID   string      `json:"id"`
	CTID wire.CTID   `json:"ctid"`
	Exec *ExecSpec   `json:"exec,omitempty"`
	Logs *LogsSpec   `json:"logs,omitempty"`
	JEM  *JEMRequest `json:"jem,omitempty"`
	// HostLogs asks for a log of the host itself; CTID is 0 then.
	HostLogs *HostLogsSpec `json:"hostLogs,omitempty"`
	// Leave orders the host to leave its machine; the exit says whether it began. CTID is 0 then.
	Leave *upkeep.Leave `json:"leave,omitempty"`
	// Show asks for a document of the host itself, on stdout; CTID is 0 then.
	Show upkeep.Show `json:"show,omitempty"`
	// Install, Slots and Storage ask the host for its installation, its slots and its disks; the answer is JSON on stdout. CTID is 0 then.
	Install *install.Ask `json:"install,omitempty"`
	Slots   *slots.Ask   `json:"slots,omitempty"`
	Storage *storage.Ask `json:"storage,omitempty"`
	// Usage pulls what containers have used; the answer is JSON on stdout. CTID is 0 then.
	Usage *usage.Ask `json:"usage,omitempty"`
	// Node asks something of the container beside the above; stdin and stdout are as the question has them.
	Node *nodecall.Ask `json:"node,omitempty"`
	// Snapshots asks for those of the container, or changes them; the answer is JSON on stdout.
	Snapshots *snapshot.Ask `json:"snapshots,omitempty"`
	// Backups opens what the host keeps of other hosts' nodes; stdin and stdout are internal/backup/far's. CTID is 0 then.
	Backups *backup.Keep `json:"backups,omitempty"`
}

// Unit is one of the host's own logs.
type Unit string

// The units.
const (
	UnitAgent   Unit = "agent"
	UnitSpawner Unit = "spawner"
	UnitNetd    Unit = "netd"
	UnitConsole Unit = "console"
	UnitInit    Unit = "init"   // PID 1's own lines
	UnitKernel  Unit = "kernel" // the kernel's own lines
	UnitDmesg   Unit = "dmesg"  // all that is in the kernel's log, whoever wrote it
	UnitCrash   Unit = "crash"  // what a kernel of this host said last, before a panic
)

// Units are those of one program each.
var Units = []Unit{UnitAgent, UnitInit, UnitKernel, UnitSpawner, UnitNetd, UnitConsole}

// HostLogsSpec selects a part of one of the host's own logs.
type HostLogsSpec struct {
	Unit   Unit      `json:"unit"`
	Tail   int       `json:"tail,omitempty"`   // lines from the end; 0 is all that is kept
	Follow bool      `json:"follow,omitempty"` // go on until closed
	Since  time.Time `json:"since,omitzero"`   // only lines written then or later; zero is all
}

// Validate checks the unit and the number.
func (s HostLogsSpec) Validate() error {
	if s.Tail < 0 {
		return fmt.Errorf("host log: tail %d: want 0 or more", s.Tail)
	}
	if slices.Contains(Units, s.Unit) || s.Unit == UnitDmesg || s.Unit == UnitCrash {
		return nil
	}
	return fmt.Errorf("host log: unit %q is not known, want one of %v", s.Unit, Units)
}

// ExecSpec is a command to run inside a container.
type ExecSpec struct {
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env,omitempty"`
	TTY  bool              `json:"tty,omitempty"`
	Rows uint16            `json:"rows,omitempty"`
	Cols uint16            `json:"cols,omitempty"`
	UID  uint32            `json:"uid,omitempty"`
	GID  uint32            `json:"gid,omitempty"`
	// User, if set, stands for UID, GID and supplementary groups: "name", "name:group", "uid" or "uid:gid", looked up in the /etc/passwd
	// and /etc/group that the container has now (OCI image-spec, config.md, "User").
	User string `json:"user,omitempty"`
}

// LogsSpec selects a part of a container's log.
//
// History: 2026-11-25 Since and Times.
type LogsSpec struct {
	Tail   int       `json:"tail"`           // lines from the end; 0 is all that is kept
	Follow bool      `json:"follow"`         // go on until closed
	Since  time.Time `json:"since,omitzero"` // only lines written then or later; zero is all
	// begin each line with the time it was written: RFC 3339 in UTC with microseconds, and a space
	Times bool `json:"times,omitempty"`
}

// JEMRequest runs `jem <module> <action> args…` in the container. It goes on when the session is gone.
//
// History: 2026-11-27 Key.
type JEMRequest struct {
	Module string   `json:"module"`
	Action string   `json:"action"`
	Args   []string `json:"args,omitempty"`
	Key    string   `json:"key,omitempty"` // idempotency key: what was done under it is not done again; "" is none
}

// SessionProtocol is the WebSocket subprotocol of sessions with windows and signs of life. A peer that does not name it speaks the
// first five channels only, waits for nobody's word before it sends, and shows that it lives by answering WebSocket pings.
const SessionProtocol = "hardnode.session.2"

// Channel tells what a session frame carries.
type Channel byte

// The channels. Each WebSocket binary message is one frame: the channel's byte, then the payload. With SessionProtocol, bytes of stdin,
// stdout and stderr are sent only as far as the receiver's windows allow; the other channels need none.
//
// History: 2026-11-25 ChanWindow and ChanAlive, with SessionProtocol.
const (
	ChanStdin  Channel = 0 // to the process; an empty payload closes its stdin
	ChanStdout Channel = 1
	ChanStderr Channel = 2
	ChanResize Channel = 3 // rows, cols: two big-endian uint16
	ChanExit   Channel = 4 // last frame: JSON Exit
	ChanWindow Channel = 5 // a channel's byte, then a big-endian uint32: so many bytes more may be sent on it; there are none at the start
	ChanAlive  Channel = 6 // empty: the sender lives
)

// MaxFrame is the largest payload of one frame, in bytes.
const MaxFrame = 32 << 10

// MaxWindow is the most bytes a receiver may have allowed and not yet got on one channel.
const MaxWindow = 1 << 30

// Exit ends a session.
type Exit struct {
	Code  int    `json:"code"`            // the process's exit code; 128+n for signal n
	Error string `json:"error,omitempty"` // set when the process could not be run, or not all of its output arrived
	Note  string `json:"note,omitempty"`  // what a person should know besides; the code counts all the same
	// Broken: the link to the host broke, and nothing is known of the end. Error says so too.
	Broken bool `json:"broken,omitempty"`
}

// Frame puts a payload behind its channel.
func Frame(c Channel, payload []byte) []byte { return append([]byte{byte(c)}, payload...) }

// ParseFrame takes a message apart. The payload is a view into msg.
func ParseFrame(msg []byte) (Channel, []byte, error) {
	switch {
	case len(msg) == 0:
		return 0, nil, errors.New("session frame: is empty")
	case len(msg) > MaxFrame+1:
		return 0, nil, fmt.Errorf("session frame: has %d bytes, at most %d are allowed", len(msg)-1, MaxFrame)
	case Channel(msg[0]) > ChanAlive:
		return 0, nil, fmt.Errorf("session frame: unknown channel %d", msg[0])
	}
	return Channel(msg[0]), msg[1:], nil
}

// ResizePayload and ParseResize carry a terminal's size.
func ResizePayload(rows, cols uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, rows), cols)
}

// ParseResize is the inverse of ResizePayload.
func ParseResize(p []byte) (rows, cols uint16, err error) {
	if len(p) != 4 {
		return 0, 0, fmt.Errorf("resize frame: has %d bytes, want 4", len(p))
	}
	return binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), nil
}

// WindowPayload and ParseWindow carry what a receiver allows: more bytes on a channel.
func WindowPayload(c Channel, more uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(c)}, more)
}

// ParseWindow is the inverse of WindowPayload.
func ParseWindow(p []byte) (c Channel, more uint32, err error) {
	if len(p) != 5 {
		return 0, 0, fmt.Errorf("window frame: has %d bytes, want 5", len(p))
	}
	c, more = Channel(p[0]), binary.BigEndian.Uint32(p[1:])
	switch {
	case c > ChanStderr:
		return 0, 0, fmt.Errorf("window frame: channel %d has no window", c)
	case more == 0 || more > MaxWindow:
		return 0, 0, fmt.Errorf("window frame: allows %d bytes, want 1 to %d", more, MaxWindow)
	}
	return c, more, nil
}

// ExitPayload is the payload of the last frame.
func ExitPayload(e Exit) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic("BUG: exit frame: " + err.Error())
	}
	return b
}
