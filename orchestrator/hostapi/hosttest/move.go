package hosttest

import (
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
)

// Moves has f say how far each move of a container is; nil: all goes well, at once. An answer of nil is that it says nothing of it.
func (h *Host) Moves(f func(move.Part) *move.State) {
	h.mu.Lock()
	h.mu.moves = f
	h.mu.Unlock()
	h.Hint()
}

// moving makes a container's status that of one that moves, if it does.
func (h *Host) moving(c host.Container, s *host.ContainerStatus) {
	if c.Move == nil {
		return
	}
	s.Move = &move.State{ID: c.Move.ID, Phase: c.Move.Phase, Round: 1, Bytes: 5 << 20, Ready: c.Move.Role == move.To,
		Arrived: c.Move.Phase == move.Last}
	if h.mu.moves != nil {
		s.Move = h.mu.moves(*c.Move)
	}
	if c.Move.Still(s.Move != nil && s.Move.Arrived) && s.State == host.CtRunning {
		s.State = host.CtStopped
	}
}
