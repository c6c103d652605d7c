package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// qmpTimeout bounds one command to QEMU when the caller's context doesn't.
const qmpTimeout = 10 * time.Second

// monitor speaks QMP, QEMU's control protocol: one JSON command at a time (docs/interop/qmp-spec).
type monitor struct {
	mu      sync.Mutex
	conn    net.Conn
	dec     *json.Decoder
	greeted bool
}

func newMonitor(c net.Conn) *monitor { return &monitor{conn: c, dec: json.NewDecoder(c)} }

func (m *monitor) close() { m.conn.Close() }

// do runs one command without arguments and waits for its answer.
func (m *monitor) do(ctx context.Context, command string) error { return m.with(ctx, command, "{}") }

// with runs one command with arguments, a JSON object, and waits for its answer.
func (m *monitor) with(ctx context.Context, command, arguments string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	deadline := time.Now().Add(qmpTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	m.conn.SetDeadline(deadline)
	if !m.greeted {
		if err := m.exchange("qmp_capabilities", "{}"); err != nil {
			return err
		}
		m.greeted = true
	}
	return m.exchange(command, arguments)
}

func (m *monitor) exchange(command, arguments string) error {
	if _, err := fmt.Fprintf(m.conn, "{\"execute\":%q,\"arguments\":%s}\n", command, arguments); err != nil {
		return fmt.Errorf("qmp %s: %v", command, err)
	}
	for { // greeting and events come in between
		var r struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := m.dec.Decode(&r); err != nil {
			return fmt.Errorf("qmp %s: %v", command, err)
		}
		switch {
		case r.Error != nil:
			return fmt.Errorf("qmp %s: %s", command, r.Error.Desc)
		case r.Return != nil:
			return nil
		}
	}
}
