package link

import "hardnode.dev/internal/wire/upkeep"

// Leaving has the reports say from now on that the machine is being left, and why. It is to be called once. The channel is closed when the
// orchestrator has answered one of them: it waits for this host then.
func (l *Link) Leaving(order upkeep.Leave) (told <-chan struct{}) {
	l.mu.Lock()
	l.mu.leaving = &order
	l.mu.Unlock()
	return l.Told()
}

// leaving is what the next report says of it; nil: nothing.
func (l *Link) leaving() *upkeep.Leave {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.leaving
}

// Told is closed when the orchestrator has answered a report that was made after this call.
func (l *Link) Told() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := make(chan struct{})
	l.mu.told = append(l.mu.told, told)
	return told
}

// waiting is how many wait to be Told when a report is made, and answered tells them when it was answered.
func (l *Link) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.told)
}

func (l *Link) answered(waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, told := range l.mu.told[:waiting] {
		close(told)
	}
	l.mu.told = l.mu.told[waiting:]
}
