package link

import "hardnode.dev/internal/wire/upkeep"

// Leaving has the reports say from now on that the machine is being left, and why. It is to be called once. The channel is closed when the
// orchestrator has answered one of them: it waits for this host then.
func (l *Link) Leaving(order upkeep.Leave) (told <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.leaving, l.mu.told = &order, make(chan struct{})
	return l.mu.told
}

// leaving is what the next report says of it, and what is to be called when that is answered.
func (l *Link) leaving() (order *upkeep.Leave, told func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if order = l.mu.leaving; order == nil {
		return nil, func() {}
	}
	return order, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mu.told != nil {
			close(l.mu.told)
			l.mu.told = nil
		}
	}
}
