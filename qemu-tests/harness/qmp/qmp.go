// Package qmp speaks QMP, QEMU's control protocol (docs/interop/qmp-spec).
//
// Owns: one connection to a QEMU, on which one command goes at a time.
// In: commands and their arguments, as JSON.
// Out: whether QEMU did them.
// Never: waits longer for an answer than 10 s.
package qmp

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// timeout bounds one command to QEMU when the caller's context doesn't.
const timeout = 10 * time.Second

// Client is one end of the connection.
type Client struct {
	mu      sync.Mutex
	conn    net.Conn
	dec     *json.Decoder
	greeted bool
}

// New is the client of a connection to QEMU, which is the client's from now on.
func New(c net.Conn) *Client { return &Client{conn: c, dec: json.NewDecoder(c)} }

// Close ends the connection.
func (m *Client) Close() { m.conn.Close() }

// Do runs one command without arguments and waits for its answer.
func (m *Client) Do(ctx context.Context, command string) error { return m.With(ctx, command, "{}") }

// With runs one command with arguments, a JSON object, and waits for its answer.
func (m *Client) With(ctx context.Context, command, arguments string) error {
	_, err := m.Ask(ctx, command, arguments)
	return err
}

// Ask is With for a command whose answer says something.
func (m *Client) Ask(ctx context.Context, command, arguments string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	m.conn.SetDeadline(deadline)
	if !m.greeted {
		if _, err := m.exchange("qmp_capabilities", "{}"); err != nil {
			return nil, err
		}
		m.greeted = true
	}
	return m.exchange(command, arguments)
}

func (m *Client) exchange(command, arguments string) (json.RawMessage, error) {
	if _, err := fmt.Fprintf(m.conn, "{\"execute\":%q,\"arguments\":%s}\n", command, arguments); err != nil {
		return nil, fmt.Errorf("qmp %s: %v", command, err)
	}
	for { // greeting and events come in between
		var r struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := m.dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("qmp %s: %v", command, err)
		}
		switch {
		case r.Error != nil:
			return nil, fmt.Errorf("qmp %s: %s", command, r.Error.Desc)
		case r.Return != nil:
			return r.Return, nil
		}
	}
}
