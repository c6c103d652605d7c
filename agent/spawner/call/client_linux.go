package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Client asks the spawner. Its zero value but for Socket is ready to use.
type Client struct {
	Socket string
}

// Failure is the spawner's refusal; use errors.As to read its Code.
type Failure struct {
	Code Code
	Text string
}

func (f *Failure) Error() string { return f.Text }

// dial connects, trying again while the spawner is being restarted, until ctx ends.
func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", c.Socket)
		if err == nil {
			return conn.(*net.UnixConn), nil
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("ask spawner: %w", errors.Join(ctx.Err(), err))
		case <-t.C:
		}
	}
}

// Do sends one request and waits for its first reply, until ctx ends (a minute when ctx has no deadline).
func (c *Client) Do(ctx context.Context, r Request, files ...*os.File) (Reply, []*os.File, error) {
	conn, reply, got, err := c.open(ctx, r, files)
	if conn != nil {
		conn.Close()
	}
	return reply, got, err
}

func (c *Client) open(ctx context.Context, r Request, files []*os.File) (*net.UnixConn, Reply, []*os.File, error) {
	if err := r.Validate(); err != nil {
		return nil, Reply{}, nil, &Failure{CodeInvalid, err.Error()}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, Reply{}, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := Send(conn, r, files...); err != nil {
		return conn, Reply{}, nil, fmt.Errorf("ask spawner: %w", errors.Join(ctx.Err(), err))
	}
	var reply Reply
	got, err := Receive(conn, &reply)
	if err != nil {
		return conn, Reply{}, nil, fmt.Errorf("ask spawner: %w", errors.Join(ctx.Err(), err))
	}
	if reply.Err != "" {
		CloseAll(got)
		return conn, reply, nil, &Failure{reply.Code, reply.Err}
	}
	return conn, reply, got, nil
}

// Exec runs a command and waits for its end; when ctx ends, the command is killed. started, if set, is called once it runs.
func (c *Client) Exec(ctx context.Context, e Exec, started func(), files ...*os.File) (Exit, error) {
	conn, _, got, err := c.open(ctx, Request{Exec: &e}, files)
	if conn != nil {
		defer conn.Close()
	}
	CloseAll(got)
	if err != nil {
		return Exit{}, err
	}
	if started != nil {
		started()
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var last Reply
	got, err = Receive(conn, &last)
	CloseAll(got)
	switch {
	case err != nil:
		return Exit{}, fmt.Errorf("wait for command: %w", errors.Join(ctx.Err(), err))
	case last.Exit == nil:
		return Exit{}, &Failure{last.Code, last.Err}
	}
	return *last.Exit, nil
}
