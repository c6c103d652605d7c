package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// EventPort is the name of the virtio-serial port that carries events; in the guest /sys/class/virtio-ports/*/name says which
// /dev/vport it is.
const EventPort = "hardnode.events"

// Event is one message from the guest: a JSON line {"kind":…,"data":…}.
type Event struct {
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
	At   time.Duration   `json:"-"` // since QEMU was started
}

// Text is Data as a string; it is empty when Data is something else.
func (e Event) Text() string {
	var s string
	if json.Unmarshal(e.Data, &s) != nil {
		return ""
	}
	return s
}

// eventLog keeps all events of one VM in order.
type eventLog struct {
	mu      sync.Mutex
	events  []Event
	changed chan struct{}
	end     error
	all     chan struct{} // closed once everything that the VM sent has been read
}

func newEventLog() *eventLog {
	return &eventLog{changed: make(chan struct{}), all: make(chan struct{})}
}

func (l *eventLog) read(r io.ReadCloser, start time.Time) {
	defer close(l.all)
	defer r.Close()
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 4<<20)
	for s.Scan() {
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			e = Event{Kind: "malformed", Data: json.RawMessage(fmt.Sprintf("%q", s.Text()))}
		}
		e.At = time.Since(start)
		l.mu.Lock()
		l.events = append(l.events, e)
		l.wake()
		l.mu.Unlock()
	}
	l.mu.Lock()
	if l.end == nil {
		l.end = io.EOF
	}
	l.wake()
	l.mu.Unlock()
}

func (l *eventLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// finish says why there are no more events, after the last that the VM sent before its end.
func (l *eventLog) finish(why error) {
	<-l.all
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil || l.end == io.EOF {
		l.end = why
	}
	l.wake()
}

// Event waits for event number n, counted from 0. It fails when the VM ends first.
func (vm *VM) Event(ctx context.Context, n int) (Event, error) {
	l := vm.events
	for {
		l.mu.Lock()
		if n < len(l.events) {
			e := l.events[n]
			l.mu.Unlock()
			return e, nil
		}
		end, changed := l.end, l.changed
		l.mu.Unlock()
		if end != nil {
			if why := vm.Err(); why != nil {
				end = why
			}
			return Event{}, fmt.Errorf("vm %s: wait for event %d: %w%s", vm.Config.Name, n, end, vm.Console.Excerpt(30))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("vm %s: wait for event %d: %w%s", vm.Config.Name, n, ctx.Err(), vm.Console.Excerpt(30))
		}
	}
}

// WaitEvent waits for the first event of a kind.
func (vm *VM) WaitEvent(ctx context.Context, kind string) (Event, error) {
	for n := 0; ; n++ {
		e, err := vm.Event(ctx, n)
		if err != nil {
			return e, fmt.Errorf("event %q: %w", kind, err)
		}
		if e.Kind == kind {
			return e, nil
		}
	}
}

// Events are all events so far.
func (vm *VM) Events() []Event {
	vm.events.mu.Lock()
	defer vm.events.mu.Unlock()
	return append([]Event(nil), vm.events.events...)
}
