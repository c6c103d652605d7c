// Package console is the dialect between a host's agent and the program at the host's terminals.
//
// Owns: the documents of the HTTP/JSON API on Socket that no other package has.
// In: JSON between two programs of one host.
// Out: values.
// Never: knows how a terminal shows them, or what a change needs.
//
// History: 2026-11-27 version 1; Challenge and Stick, Host.BMC and Host.Sensors.
package console

import (
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/upkeep"
)

// Socket is where the agent answers boot.ConsoleUser.
const Socket = boot.RunDir + "/console.sock"

// SessionHeader carries the id of the session that a change is made in.
const SessionHeader = "X-Hardnode-Session"

// Login is the body of POST /v1/login; the answer is a Session. Either the password is given, or the answer to a challenge.
type Login struct {
	TTY       string      `json:"tty"` // the terminal, for the log
	Password  secret.Text `json:"password,omitempty"`
	Challenge string      `json:"challenge,omitempty"`
	Answer    secret.Text `json:"answer,omitempty"`
}

// Challenge is the answer of POST /v1/challenge: what is shown at a terminal; its answer begins a session, once.
type Challenge struct {
	Text string `json:"text"`
	Host string `json:"host"` // the host's name, which the answer is for
}

// Session is who knew the password. It ends with POST /v1/logout, and when it was not used for a while.
type Session struct {
	ID string `json:"id"`
}

// Activate is the body of POST /v1/activate, of a host without a configuration; the answer is an Activated.
type Activate struct {
	Text secret.Text `json:"text"` // ActivationPrefix and the document of the configuration (YAML) in base64url without padding
}

// ActivationPrefix begins the line that a configuration is typed as: hnctl host config line makes it.
const ActivationPrefix = "hnc1."

// Activated is a host that has taken its configuration.
type Activated struct {
	Name string `json:"name"`
	Kept string `json:"kept"` // where it lies for the next boot, or why it does not, for people
}

// Stick is the answer of POST /v1/support/stick: the support bundle as it lies on a volume that somebody plugged in.
type Stick struct {
	Volume string `json:"volume"` // for people: "SUPPORT on /dev/sdb1"
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
}

// Unlock is the body of POST /v1/unlock, of a host whose STATE is locked. Who knows the key needs no password.
type Unlock struct {
	TTY string      `json:"tty"` // the terminal, for the log
	Key secret.Text `json:"key"` // the recovery key
}

// Reset is the body of POST /v1/reset: the host forgets what it is and has, and reboots.
type Reset struct {
	Name string `json:"name"` // the host's, as somebody typed it
}

// Leave is the body of POST /v1/leave.
type Leave struct {
	PowerOff bool   `json:"powerOff,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Install is the body of POST /v1/install; the answer is an install.Status.
type Install struct {
	Spec install.Spec `json:"spec"`
}

// Host is the answer of GET /v1/host: what is known of the machine beside the agent's status.
type Host struct {
	Configured bool          `json:"configured"`
	Password   bool          `json:"password,omitempty"`  // there is one that a session begins with
	Challenge  bool          `json:"challenge,omitempty"` // there is a key that a session begins with
	Capacity   host.Capacity `json:"capacity"`
	Load       host.Load     `json:"load"`
	Boots      []upkeep.Boot `json:"boots,omitempty"` // the newest first

	Protection *host.Protection `json:"protection,omitempty"`
	// BMC is the address of the machine's BMC, or why that is not known; "": it has none.
	BMC     string   `json:"bmc,omitempty"`
	Sensors []Sensor `json:"sensors,omitempty"`
}

// Sensor is one of the machine's, with what it says for people: "54.5 C".
type Sensor struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Network is the answer of GET /v1/network.
type Network struct {
	Links []boot.LinkStatus `json:"links"`
	boot.NetworkStatus
}

// Container is one of the answer of GET /v1/containers.
type Container struct {
	host.ContainerStatus
	Env       string `json:"env,omitempty"`
	Layer     string `json:"layer,omitempty"`
	Hostname  string `json:"hostname,omitempty"`
	Component string `json:"component,omitempty"`
	Image     string `json:"image,omitempty"`
}
