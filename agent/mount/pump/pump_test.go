package pump

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// kernel is the other end of a pump's descriptor.
type kernel struct {
	*os.File
	t *testing.T
	p *Pump

	mu sync.Mutex
	to func() (net.Conn, error) // what dialling gives
}

var quick = Times{Silence: 1500 * time.Millisecond, Longest: 4 * time.Second,
	Interrupt: 100 * time.Millisecond, Ping: 50 * time.Millisecond}

// start runs a pump. other is the other host, for each connection; nil: there is none.
func start(t *testing.T, times Times, other func(net.Conn)) *kernel {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
	}
	k := &kernel{File: os.NewFile(uintptr(fds[0]), "kernel"), t: t}
	dev := os.NewFile(uintptr(fds[1]), "dev")
	k.is(other)
	ctx, stop := context.WithCancel(context.Background())
	k.p = New(dev, func(context.Context) (net.Conn, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.to()
	}, times, nil)
	done := make(chan error, 1)
	go func() { done <- k.p.Run(ctx) }()
	k.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		k.Close()
		dev.Close()
	})
	return k
}

// is says who the other host is from now on.
func (k *kernel) is(other func(net.Conn)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.to = func() (net.Conn, error) {
		if other == nil {
			return nil, errors.New("nobody is there")
		}
		here, there := net.Pipe()
		go other(there)
		return here, nil
	}
}

func (k *kernel) ask(op message.Op, unique uint64, body ...byte) {
	k.t.Helper()
	if _, err := k.Write(message.Request{Op: op, Unique: unique, Node: 1, Body: body}.Bytes()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernel) hear() (unique uint64, errno unix.Errno, body []byte) {
	k.t.Helper()
	b := make([]byte, message.Max)
	n, err := k.Read(b)
	if err != nil {
		k.t.Fatal(err)
	}
	unique, errno, err = message.ParseAnswer(b[:n])
	if err != nil {
		k.t.Fatal(err)
	}
	return unique, errno, b[message.AnswerAt:n]
}

func (k *kernel) want(unique uint64, errno unix.Errno) {
	k.t.Helper()
	if u, e, _ := k.hear(); u != unique || e != errno {
		k.t.Errorf("answer to %d: %v, want to %d: %v", u, e, unique, errno)
	}
}

// echo answers each request with its own body.
func echo(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, message.Max)
	for {
		b, err := message.ReadOne(conn, buf, message.RequestAt)
		if err != nil {
			return
		}
		r, err := message.ParseRequest(b)
		if err != nil {
			return
		}
		conn.Write(message.Answer(r.Unique, 0, r.Body))
	}
}

// hears reads and says nothing.
func hears(conn net.Conn) {
	b := make([]byte, 1000)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

func TestCarry(t *testing.T) {
	k := start(t, Usual, echo)
	k.ask(message.Init, 2, bytes.Repeat([]byte{255}, 64)...)
	k.want(2, unix.EPROTO)
	init := binary.LittleEndian.AppendUint32(nil, message.Major)
	init = append(binary.LittleEndian.AppendUint32(init, message.Minor+3), bytes.Repeat([]byte{255}, 56)...)
	k.ask(message.Init, 4, init...)
	if _, errno, body := k.hear(); errno != 0 || len(body) != 64 || binary.LittleEndian.Uint32(body[4:]) != message.Minor ||
		binary.LittleEndian.Uint32(body[20:]) != message.MaxData || binary.LittleEndian.Uint32(body[32:])&(1<<8) == 0 {
		t.Errorf("agreed: %v, %x", errno, body)
	}
	<-k.p.Ready()
	for n := uint64(6); n < 200; n += 2 {
		k.ask(message.Lookup, n, byte(n))
		if u, errno, body := k.hear(); u != n || errno != 0 || len(body) != 1 || body[0] != byte(n) {
			t.Fatalf("answer to %d: %d, %v, %x", n, u, errno, body)
		}
	}
	k.ask(message.Forget, 0, make([]byte, 8)...)
	k.ask(message.OpenDir, 300, make([]byte, 8)...)
	k.want(300, unix.ENOSYS)
	k.ask(message.Destroy, 302)
	k.want(302, 0)
}

// TestNobody: requests end within the time, and where the host has been away for longer, at once; when it is back, they are answered.
func TestNobody(t *testing.T) {
	t.Parallel()
	k := start(t, quick, nil)
	began := time.Now()
	k.ask(message.Lookup, 2)
	k.ask(message.Lookup, 4)
	first, e1, _ := k.hear()
	second, e2, _ := k.hear()
	if first+second != 6 || e1 != unix.EIO || e2 != unix.EIO {
		t.Errorf("answers: %d %v, %d %v", first, e1, second, e2)
	}
	if took := time.Since(began); took < quick.Silence {
		t.Errorf("it took %s: the host had no time", took)
	}
	k.ask(message.Lookup, 6)
	k.want(6, unix.EIO)
	k.is(echo)
	for n := uint64(8); ; n += 2 {
		k.ask(message.Lookup, n)
		if _, errno, _ := k.hear(); errno == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSilent: a host that takes requests and says nothing is as one that is away; one that answers pings is not, as long as Longest.
func TestSilent(t *testing.T) {
	t.Parallel()
	k := start(t, quick, hears)
	k.ask(message.Lookup, 2)
	k.want(2, unix.EIO)

	slow := start(t, quick, func(conn net.Conn) {
		buf := make([]byte, message.Max)
		for {
			b, err := message.ReadOne(conn, buf, message.RequestAt)
			if err != nil {
				return
			}
			if r, _ := message.ParseRequest(b); r.Op == message.Ping {
				conn.Write(message.Answer(0, 0, nil))
			}
		}
	})
	began := time.Now()
	slow.ask(message.FSync, 2)
	slow.want(2, unix.EIO)
	if took := time.Since(began); took < quick.Longest {
		t.Errorf("a host that lives had %s, want %s", took, quick.Longest)
	}
	slow.ask(message.FSync, 4)
	slow.ask(message.Interrupt, 5, binary.LittleEndian.AppendUint64(nil, 4)...)
	slow.want(4, unix.EINTR)
}

// TestAgain: what was under way when a connection ended is sent again, in order.
func TestAgain(t *testing.T) {
	gone := make(chan struct{})
	k := start(t, Usual, func(conn net.Conn) {
		buf := make([]byte, message.Max)
		for range 3 {
			message.ReadOne(conn, buf, message.RequestAt)
		}
		conn.Close()
		close(gone)
	})
	for n := uint64(2); n <= 6; n += 2 {
		k.ask(message.Lookup, n)
	}
	<-gone
	k.is(echo)
	for n := uint64(2); n <= 6; n += 2 {
		k.want(n, 0)
	}
}

// TestHostile: answers that no request waits for, or of a wrong form.
func TestHostile(t *testing.T) {
	for what, says := range map[string][]byte{
		"nobody asked":   message.Answer(77, 0, []byte("x")),
		"a notification": append([]byte{20, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 12)...),
		"too long":       {255, 255, 255, 255},
		"too short":      {1, 0, 0, 0},
		"text":           []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		first := true
		k := start(t, Usual, func(conn net.Conn) {
			if first {
				first = false
				conn.Write(says)
			}
			echo(conn)
		})
		k.ask(message.Lookup, 2, 9)
		if u, errno, body := k.hear(); u != 2 || errno != 0 || len(body) != 1 {
			t.Errorf("%s: answer to %d: %v, %x", what, u, errno, body)
		}
	}
}

func TestEnd(t *testing.T) {
	k := start(t, Usual, hears)
	k.ask(message.Lookup, 2)
	for under := 0; under == 0; time.Sleep(time.Millisecond) {
		k.p.mu.Lock()
		under = len(k.p.mu.asked)
		k.p.mu.Unlock()
	}
	k.p.End()
	k.want(2, unix.EIO)
	k.ask(message.Lookup, 4)
	k.want(4, unix.EIO)
}

func TestResume(t *testing.T) {
	k := start(t, Usual, echo)
	if err := k.p.Resume(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := k.Read(b)
	if err != nil || n != message.AnswerAt || binary.LittleEndian.Uint32(b[4:]) != 7 || binary.LittleEndian.Uint64(b[8:]) != 0 {
		t.Fatalf("said first: %x, %v; want that open requests are sent again", b[:n], err)
	}
	<-k.p.Ready()
	k.ask(message.Lookup, 2|message.Resent)
	k.want(2|message.Resent, 0)
}

// TestMany: more requests than may be under way.
func TestMany(t *testing.T) {
	k := start(t, Usual, echo)
	go func() {
		for n := uint64(2); n <= 2000; n += 2 {
			k.Write(message.Request{Op: message.Lookup, Unique: n, Node: 1}.Bytes())
		}
	}()
	seen := map[uint64]bool{}
	for range 1000 {
		u, errno, _ := k.hear()
		if errno != 0 || seen[u] {
			t.Fatalf("answer to %d: %v", u, errno)
		}
		seen[u] = true
	}
	if len(k.p.places) != 0 || len(k.p.mu.asked) != 0 {
		t.Errorf("%d places are taken, %d requests are under way", len(k.p.places), len(k.p.mu.asked))
	}
}
