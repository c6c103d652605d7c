package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Component is one component of the platform, a node of the environment jelastic.
type Component struct {
	Name       string            `json:"name"`
	CTID       wire.CTID         `json:"ctid"`
	Host       wire.HostID       `json:"host"`
	HostName   string            `json:"hostName"`
	InternalIP string            `json:"internalIP"`
	ExternalIP string            `json:"externalIP,omitempty"`
	State      string            `json:"state" doc:"As of any node"`
	Reason     string            `json:"reason,omitempty"`
	Restarts   int               `json:"restarts"`
	Started    time.Time         `json:"started,omitzero"`
	Release    string            `json:"release,omitempty" doc:"The release that its image is of; empty: the one that it was made with"`
	Image      wire.Digest       `json:"image,omitempty" doc:"Of what its host runs; empty: the host does not say"`
	Offered    wire.Digest       `json:"offered,omitempty" doc:"Its image in the release that was asked for"`
	Snapshots  []string          `json:"snapshots,omitempty" doc:"Of the orchestrator: what was stored before it was replaced, newest first"`
	Trial      *ComponentTrial   `json:"trial,omitempty" doc:"While a version is tried"`
	Failed     *ComponentFailure `json:"failed,omitempty" doc:"The last version that was tried and did not stay"`
}

// ComponentTrial is that a component runs another version until that is confirmed.
type ComponentTrial struct {
	Release   string    `json:"release"`
	From      string    `json:"from,omitempty" doc:"The release that it goes back to; empty: the one that it was made with"`
	Image     string    `json:"image" doc:"Digest of the image that is tried"`
	By        string    `json:"by"`
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	ConfirmBy time.Time `json:"confirmBy" doc:"When its host goes back by itself unless it was confirmed"`
	Runs      bool      `json:"runs" doc:"Its host runs the version that is tried, and its check passes"`
}

// ComponentFailure is why a version did not stay.
type ComponentFailure struct {
	Release string    `json:"release"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// ReplaceComponent has a component run the version of a release, until that is confirmed.
type ReplaceComponent struct {
	Release   string `json:"release" minLength:"1" maxLength:"60" doc:"One that was imported (hnctl release list)"`
	WithinSec int64  `json:"withinSec,omitempty" minimum:"30" maximum:"7200" doc:"Seconds in which it has to be confirmed, or its host goes back by itself; absent: 600"`
	Reason    string `json:"reason,omitempty" maxLength:"200"`
}

// NewComponent has the platform get a component that it was made without: the Patcher, where it was made before there was one, or
// metering.
type NewComponent struct {
	Name    string `json:"name" enum:"patcher,metering"`
	Release string `json:"release,omitempty" maxLength:"60" doc:"An imported release that its image is of; absent: the infra host's boot medium has it"`
}
