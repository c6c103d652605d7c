package nodecall

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/nodecall"
)

type fake struct {
	port    uint16
	to      string
	samples int64
}

func (f *fake) Dial(ctx context.Context, id wire.CTID, port uint16) (net.Conn, error) {
	if f.port = port; f.to == "" {
		return nil, errors.New("nobody listens")
	}
	return net.Dial("tcp", f.to)
}

func (f *fake) Console(context.Context, wire.CTID, nodecall.Console, command.Stdio) error { return nil }

func (f *fake) Sample(context.Context, wire.CTID) (nodecall.Sample, error) {
	if f.samples++; f.samples == 4 {
		return nodecall.Sample{}, errors.New("it ended")
	}
	return nodecall.Sample{CPUMicros: f.samples}, nil
}

var to80 = nodecall.Ask{Forward: &nodecall.Forward{Port: 80}}

// TestForward: all bytes go both ways, and the end of one way is not the end of the other.
func TestForward(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c) // its end comes
		c.Write(bytes.ToUpper(all))
	}()
	f := &fake{to: l.Addr().String()}
	var out bytes.Buffer
	in := io.NopCloser(strings.NewReader(strings.Repeat("hello ", 1000)))
	if err := (Calls{Runtime: f}).Answer(t.Context(), 101, to80, command.Stdio{In: in, Out: &out}); err != nil ||
		out.String() != strings.Repeat("HELLO ", 1000) || f.port != 80 {
		t.Errorf("%v, %d bytes, port %d", err, out.Len(), f.port)
	}
	if err := (Calls{Runtime: &fake{}}).Answer(t.Context(), 101, to80, command.Stdio{In: in, Out: &out}); err == nil {
		t.Error("a port where nobody listens was reached")
	}
}

// TestForwardIsGivenUp: a container that says nothing does not hold a session whose person is gone.
func TestForwardIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		bufio.NewReader(c).ReadByte()
		cancel()
		io.Copy(io.Discard, c)
	}()
	go w.Write([]byte("x"))
	f := &fake{to: l.Addr().String()}
	if err := (Calls{Runtime: f}).Answer(ctx, 101, to80, command.Stdio{In: r, Out: io.Discard}); err == nil {
		t.Error("a session that was given up ended well")
	}
}

func TestTop(t *testing.T) {
	f := &fake{}
	var out bytes.Buffer
	ask := nodecall.Ask{Top: &nodecall.Top{Every: 1, Count: 1}}
	if err := (Calls{Runtime: f}).Answer(t.Context(), 101, ask, command.Stdio{Out: &out}); err != nil {
		t.Fatal(err)
	}
	var s nodecall.Sample
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.CPUMicros != 1 {
		t.Errorf("%v %+v", err, s)
	}
	f.samples = 3
	if err := (Calls{Runtime: f}).Answer(t.Context(), 101, ask, command.Stdio{Out: &out}); err == nil {
		t.Error("a container that ended is sampled")
	}
	err := (Calls{}).Answer(t.Context(), 101, nodecall.Ask{}, command.Stdio{Out: &out})
	if err == nil || !strings.Contains(err.Error(), "0 parts") {
		t.Errorf("a question of a later release: %v", err)
	}
}

func TestRestart(t *testing.T) {
	var got wire.CTID
	c := Calls{Restart: func(_ context.Context, id wire.CTID) error { got = id; return nil }}
	if err := c.Answer(t.Context(), 101, nodecall.Ask{Restart: &nodecall.Restart{}}, command.Stdio{}); err != nil || got != 101 {
		t.Errorf("%v %d", err, got)
	}
}
