package call

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	reply, got, err := ask(ctx, conn, r, files)
	if err != nil {
		return conn, reply, nil, err
	}
	if reply.Err != "" {
		CloseAll(got)
		return conn, reply, nil, &Failure{reply.Code, reply.Err}
	}
	return conn, reply, got, nil
}

// closeWithin is how long Close waits for a spawner that does not answer.
const closeWithin = 5 * time.Second

// Held is the first process of a container, made and waiting.
type Held struct {
	User, Net *os.File // the caller closes them

	conn *net.UnixConn
}

// Start makes a container's first process; Go lets it run. Whoever got a Held calls Go or Close, or both.
func (c *Client) Start(ctx context.Context, s Start, files ...*os.File) (*Held, error) {
	conn, _, got, err := c.open(ctx, Request{Start: &s}, files)
	if err == nil && len(got) != 2 {
		CloseAll(got)
		err = fmt.Errorf("start container %s: got %d descriptors, want 2", s.ID, len(got))
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	return &Held{User: got[0], Net: got[1], conn: conn}, nil
}

// Go returns when the program has been executed, with the container's record, or when ctx ends.
func (h *Held) Go(ctx context.Context) (Record, error) {
	defer h.conn.Close()
	reply, got, err := ask(ctx, h.conn, Request{Go: &Go{}}, nil)
	CloseAll(got)
	switch {
	case err != nil:
		return Record{}, err
	case reply.Err != "":
		return Record{}, &Failure{reply.Code, reply.Err}
	case len(reply.Containers) != 1:
		return Record{}, fmt.Errorf("ask spawner: got %d records of a started container, want 1", len(reply.Containers))
	}
	return reply.Containers[0], nil
}

// Close ends the process if it still waits, and returns when the spawner has forgotten the container: it can be started again then.
func (h *Held) Close() {
	defer h.conn.Close()
	h.conn.SetDeadline(time.Now().Add(closeWithin))
	if h.conn.CloseWrite() == nil {
		io.Copy(io.Discard, h.conn) // its last words, then the end
	}
}

// Console joins a container's console: what it says goes to sink, the writing end of a pipe, and what is written to typed is typed there.
// The caller closes both.
func (c *Client) Console(ctx context.Context, id string, sink *os.File) (typed *os.File, err error) {
	_, got, err := c.Do(ctx, Request{Console: &Console{ID: id}}, sink)
	if err == nil && len(got) != 1 {
		CloseAll(got)
		err = fmt.Errorf("console of container %s: got %d descriptors, want 1", id, len(got))
	}
	if err = earlier(err, "console of container "+id); err != nil {
		return nil, err
	}
	return got[0], nil
}

// earlier says so where the spawner does not know a request that later agents make.
func earlier(err error, what string) error {
	var f *Failure
	if errors.As(err, &f) && f.Code == CodeInvalid {
		return fmt.Errorf("%s: the spawner of this host is of an earlier release, which the next boot replaces", what)
	}
	return err
}

// Resting is a container whose processes stand still.
type Resting struct{ conn *net.UnixConn }

// Rest has all processes of a container stand still until End, or until this program ends. dir is its cgroup directory.
func (c *Client) Rest(ctx context.Context, id string, dir *os.File) (*Resting, error) {
	ctx, cancel := context.WithTimeout(ctx, StillWithin+closeWithin)
	defer cancel()
	conn, _, got, err := c.open(ctx, Request{Rest: &Rest{ID: id}}, []*os.File{dir})
	CloseAll(got)
	if err = earlier(err, "have container "+id+" stand still"); err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	return &Resting{conn}, nil
}

// End has them go on, and returns when they do. It is an error when they did before: what was done meanwhile is not from one moment.
func (r *Resting) End() error {
	defer r.conn.Close()
	r.conn.SetDeadline(time.Now().Add(closeWithin))
	if err := r.conn.CloseWrite(); err != nil {
		return fmt.Errorf("ask spawner: %w", err)
	}
	var reply Reply
	got, err := Receive(r.conn, &reply)
	CloseAll(got)
	if err != nil {
		return fmt.Errorf("ask spawner: %w", err)
	}
	if reply.Err != "" {
		return &Failure{reply.Code, reply.Err}
	}
	return nil
}

// ask sends one message and waits for the next reply.
func ask(ctx context.Context, conn *net.UnixConn, r Request, files []*os.File) (Reply, []*os.File, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := Send(conn, r, files...); err != nil {
		return Reply{}, nil, fmt.Errorf("ask spawner: %w", errors.Join(ctx.Err(), err))
	}
	var reply Reply
	got, err := Receive(conn, &reply)
	if err != nil {
		return Reply{}, nil, fmt.Errorf("ask spawner: %w", errors.Join(ctx.Err(), err))
	}
	return reply, got, nil
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
