package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// ErrorGroups are the errors of the platform's own programs that wait here to be told to who makes it: those of the last month.
type ErrorGroups struct {
	Groups []ErrorGroup `json:"groups"`
	Lost   int64        `json:"lost,omitempty" doc:"Errors of groups there was no room for"`
}

// ErrorGroup is errors that are alike, of one version on one host.
type ErrorGroup struct {
	Fingerprint string      `json:"fingerprint" doc:"Errors that have the same are alike"`
	Host        wire.HostID `json:"host,omitempty" doc:"Absent: the orchestrator's own"`
	HostName    string      `json:"hostName,omitempty"`
	Component   string      `json:"component" doc:"agent, orchestrator, kernel, init"`
	Kind        string      `json:"kind" doc:"panic, watchdog, ended"`
	Version     string      `json:"version" doc:"Of the component"`
	Message     string      `json:"message" doc:"What varies in it is left out"`
	Count       int64       `json:"count"`
	First       time.Time   `json:"first"`
	Last        time.Time   `json:"last"`
}
