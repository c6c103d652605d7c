// Package ether is the Ethernet between virtual machines: a switch in this process, and the addresses of their cards.
//
// Owns: QEMU's stream protocol, learned addresses, what is cut, delayed or dropped between two ports, the counts.
// In: connections of network cards, the name of each.
// Out: frames at the ports they are for; counts.
// Never: touches the machine's network, or knows what a frame carries.
package ether

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// maxFrame is the longest Ethernet frame the switch carries (jumbo frames and then some); longer ones end the port.
const maxFrame = 70_000

// queueLength is how many frames wait for a slow port before further ones are dropped, as a real switch does.
const queueLength = 1024

// Switch is an Ethernet switch in this process. It learns where addresses are, and can drop, delay, cut and count. The zero value
// is no switch: use NewSwitch. It speaks QEMU's stream protocol: each frame behind its length as four bytes, big-endian.
type Switch struct {
	mu    sync.Mutex
	ports map[string]*Port
	where map[[6]byte]*Port  // learned addresses
	cut   map[[2]string]bool // pairs of port names that can't hear each other; both orders are set
	delay map[string]time.Duration
	drop  func(from, to string, frame []byte) bool
	count map[string]Count
}

// Count is what a port sent into the switch and what it got out of it.
type Count struct {
	FramesIn, FramesOut, BytesIn, BytesOut int64
	Dropped                                int64 // frames for this port that were not delivered: cut, drop rule, or queue full
}

// NewSwitch is a switch without ports.
func NewSwitch() *Switch {
	return &Switch{ports: map[string]*Port{}, where: map[[6]byte]*Port{}, cut: map[[2]string]bool{}, delay: map[string]time.Duration{},
		count: map[string]Count{}}
}

// Port is one plugged-in cable.
type Port struct {
	Name string
	sw   *Switch
	conn net.Conn
	out  chan queued
	gone chan struct{}
	once sync.Once
}

type queued struct {
	frame []byte
	due   time.Time
}

// Connect plugs conn in as port name, in the place of an earlier port of that name. The port lives until conn ends; what the name
// was told before (Cut, Delay) stays in force.
func (s *Switch) Connect(name string, conn net.Conn) *Port {
	p := &Port{Name: name, sw: s, conn: conn, out: make(chan queued, queueLength), gone: make(chan struct{})}
	s.mu.Lock()
	old := s.ports[name]
	s.ports[name] = p
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	go p.receive()
	go p.send()
	return p
}

// Close unplugs the port.
func (p *Port) Close() {
	p.once.Do(func() {
		close(p.gone)
		p.conn.Close()
		p.sw.mu.Lock()
		defer p.sw.mu.Unlock()
		if p.sw.ports[p.Name] == p {
			delete(p.sw.ports, p.Name)
		}
		for mac, at := range p.sw.where {
			if at == p {
				delete(p.sw.where, mac)
			}
		}
	})
}

// Cut stops all frames between the ports a and b, both ways; they may be plugged in later. b "*" cuts a from everyone.
func (s *Switch) Cut(a, b string) { s.setCut(a, b, true) }

// Heal undoes Cut.
func (s *Switch) Heal(a, b string) { s.setCut(a, b, false) }

func (s *Switch) setCut(a, b string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range [][2]string{{a, b}, {b, a}} {
		if on {
			s.cut[k] = true
		} else {
			delete(s.cut, k)
		}
	}
}

// Delay holds back every frame to the port by d; 0 ends it. The order of frames stays.
func (s *Switch) Delay(port string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay[port] = d
}

// Drop asks f about every frame and drops it when f says so; nil ends it. f must not call the switch.
func (s *Switch) Drop(f func(from, to string, frame []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = f
}

// Counts are the frames of a port so far, over all its cables.
func (s *Switch) Counts(port string) Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[port]
}

// receive takes frames from the cable until it ends.
func (p *Port) receive() {
	defer p.Close()
	for {
		frame, err := readFrame(p.conn)
		if err != nil {
			return
		}
		p.sw.forward(p, frame)
	}
}

// send writes queued frames to the cable.
func (p *Port) send() {
	defer p.Close()
	for {
		select {
		case <-p.gone:
			return
		case q := <-p.out:
			if d := time.Until(q.due); d > 0 {
				t := time.NewTimer(d)
				select {
				case <-t.C:
				case <-p.gone:
					t.Stop()
					return
				}
			}
			if writeFrame(p.conn, q.frame) != nil {
				return
			}
		}
	}
}

// forward learns the sender's address and queues the frame for whoever shall have it: the port its receiver was seen on, else all others.
func (s *Switch) forward(from *Port, frame []byte) {
	var dst, src [6]byte
	copy(dst[:], frame[0:6])
	copy(src[:], frame[6:12])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[from.Name] != from {
		return
	}
	c := s.count[from.Name]
	c.FramesIn++
	c.BytesIn += int64(len(frame))
	s.count[from.Name] = c
	if src[0]&1 == 0 {
		s.where[src] = from
	}
	if to := s.where[dst]; dst[0]&1 == 0 && to != nil {
		if to != from {
			s.deliver(from, to, frame)
		}
		return
	}
	for _, to := range s.ports {
		if to != from {
			s.deliver(from, to, frame)
		}
	}
}

// deliver queues one frame for one port; the lock is held.
func (s *Switch) deliver(from, to *Port, frame []byte) {
	c := s.count[to.Name]
	defer func() { s.count[to.Name] = c }()
	if s.cut[[2]string{from.Name, to.Name}] || s.cut[[2]string{from.Name, "*"}] || s.cut[[2]string{to.Name, "*"}] ||
		s.drop != nil && s.drop(from.Name, to.Name, frame) {
		c.Dropped++
		return
	}
	q := queued{frame: frame}
	if d := s.delay[to.Name]; d > 0 {
		q.due = time.Now().Add(d)
	}
	select {
	case to.out <- q:
		c.FramesOut++
		c.BytesOut += int64(len(frame))
	default:
		c.Dropped++
	}
}

var errFrame = errors.New("frame length out of range")

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 14 || n > maxFrame {
		return nil, errFrame
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func writeFrame(w io.Writer, frame []byte) error {
	b := make([]byte, 4+len(frame))
	binary.BigEndian.PutUint32(b, uint32(len(frame)))
	copy(b[4:], frame)
	_, err := w.Write(b)
	return err
}
