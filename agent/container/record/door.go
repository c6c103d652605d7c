package record

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
)

// Door asks the spawner what it knows of containers. Its methods may be called at once.
type Door struct {
	Spawner call.Client

	mu struct {
		sync.Mutex
		state string // of the spawner's records when all were read last; "": they were not
		all   map[wire.CTID]Record
	}
}

// All are the records of all containers, for reading only. They are sent anew only if one of them has changed.
func (d *Door) All(ctx context.Context) (map[wire.CTID]Record, error) {
	d.mu.Lock()
	state, all := d.mu.state, d.mu.all
	d.mu.Unlock()
	reply, _, err := d.Spawner.Do(ctx, call.Request{List: &call.List{State: state}})
	if err != nil {
		return nil, err
	}
	if !reply.Same || state == "" {
		all = Read(reply.Containers)
		d.mu.Lock()
		d.mu.state, d.mu.all = reply.State, all
		d.mu.Unlock()
	}
	return all, nil
}

// List asks the spawner for records, by id.
func (d *Door) List(ctx context.Context, what call.List) (map[wire.CTID]Record, error) {
	reply, _, err := d.Spawner.Do(ctx, call.Request{List: &what})
	if err != nil {
		return nil, err
	}
	return Read(reply.Containers), nil
}

// Running is the record of a container that runs.
func (d *Door) Running(ctx context.Context, id wire.CTID) (Record, error) {
	all, err := d.List(ctx, call.List{ID: id.String()})
	if err != nil {
		return Record{}, err
	}
	if all[id].PID == 0 {
		return Record{}, fmt.Errorf("container %s: %w", id, fault.ErrNotRunning)
	}
	return all[id], nil
}

// Same checks that a container still runs as the process it was; what was opened by its number before is then surely its.
func (d *Door) Same(ctx context.Context, id wire.CTID, was Record) error {
	now, err := d.Running(ctx, id)
	if err != nil {
		return err
	}
	if now.PID != was.PID || !now.Started.Equal(was.Started) {
		return fmt.Errorf("container %s was started again meanwhile: %w", id, fault.ErrNotRunning)
	}
	return nil
}

// AsCaller turns the spawner's refusal into an error callers may test.
func AsCaller(id wire.CTID, err error) error {
	var f *call.Failure
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case call.CodeRunning:
		return fmt.Errorf("container %s: %w", id, fault.ErrRunning)
	case call.CodeNotRunning:
		return fmt.Errorf("container %s: %w", id, fault.ErrNotRunning)
	case call.CodeProgram, call.CodeInvalid:
		return fmt.Errorf("container %s: %w: %s", id, fault.ErrInvalid, f.Text)
	}
	return err
}
