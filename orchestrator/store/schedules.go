package store

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// NodeSchedule is the schedule of a node's snapshots. It stays when the node is replaced.
type NodeSchedule struct {
	Name     string            `json:"name"` // of the node, as in Wall
	Schedule snapshot.Schedule `json:"schedule"`
}

func (s NodeSchedule) of() string { return s.Name }

// ScheduleOf is that of a layer's node by its number from 1; nil: it has none.
func (e *Environment) ScheduleOf(layer wire.LayerName, node int) *snapshot.Schedule {
	for _, s := range ofNode(e.Schedules, layer, node) {
		return &s.Schedule
	}
	return nil
}

// SetSchedule replaces ScheduleOf.
func (e *Environment) SetSchedule(layer wire.LayerName, node int, s *snapshot.Schedule) {
	var list []NodeSchedule
	if s != nil {
		list = append(list, NodeSchedule{wallOf(layer, node), *s})
	}
	e.Schedules = setOfNode(e.Schedules, layer, node, list)
}
