// Package tftp hands out files by TFTP (RFC 1350), to the firmware of machines that boot.
//
// Owns: the transfers under way, of which each is at one block; the limits on them.
// In: packets with their sender and the time; the files, by name.
// Out: packets to send, of at most MaxBlock bytes and a header; why a request is refused.
// Never: writes a file, opens one by a name that a client made up, or sends from another port than it was asked at: what it needs is one
// socket, which may have been handed to it.
//
// Options blksize (RFC 2348), tsize and timeout (RFC 2349) are taken; others are passed over (RFC 2347).
package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Limits. Who asks is not known, and may not be who the sender's address says.
const (
	Most      = 64              // transfers at once
	MostOfOne = 4               // of one address
	MaxBlock  = 1456            // bytes of data in a packet: no fragments on Ethernet
	again     = 2 * time.Second // until a packet is sent once more
	tries     = 6               // that often in all, without an answer
	stranger  = 1               // and so often before the sender has answered once: an address may be forged
)

const (
	opRead  = 1
	opWrite = 2
	opData  = 3
	opAck   = 4
	opError = 5
	opOAck  = 6
)

// Error codes of RFC 1350.
const (
	notFound  = 1
	exhausted = 3
	illegal   = 4
)

// Server is the transfers under way. Its methods are called by one goroutine.
type Server struct {
	Files map[string][]byte
	at    map[netip.AddrPort]*transfer
}

// transfer is one file on its way to one client.
type transfer struct {
	data    []byte
	size    int    // of a block
	block   uint64 // that is on its way; 0: the options are
	packet  []byte // the last one that was sent
	sent    time.Time
	tries   int
	every   time.Duration
	name    string
	answers bool // the client has answered
	last    bool // the last block is on its way
}

// Packet is one to send.
type Packet struct {
	To   netip.AddrPort
	Data []byte
}

// Handle takes a packet and gives the one that answers it, nil when there is none. What says in words that a file is begun, sent or
// refused; "" when there is nothing to say.
func (s *Server) Handle(now time.Time, from netip.AddrPort, raw []byte) (reply []byte, what string) {
	if len(raw) < 4 {
		return nil, ""
	}
	switch op := binary.BigEndian.Uint16(raw); op {
	case opRead:
		return s.begin(now, from, raw[2:])
	case opWrite:
		return fault(illegal, "files are read here, not written"), fmt.Sprintf("%s wants to write", from)
	case opAck:
		return s.acknowledged(now, from, uint64(binary.BigEndian.Uint16(raw[2:])))
	case opError:
		if t := s.at[from]; t != nil {
			delete(s.at, from)
			return nil, fmt.Sprintf("%s broke off %s", from, t.name)
		}
	}
	return nil, ""
}

// begin answers a request to read.
func (s *Server) begin(now time.Time, from netip.AddrPort, raw []byte) ([]byte, string) {
	fields := strings.Split(string(raw), "\x00")
	if len(fields) < 3 || len(fields) > 24 || !strings.EqualFold(fields[1], "octet") {
		return fault(illegal, "want a name and mode octet"), fmt.Sprintf("%s asks in a form that is none", from)
	}
	name := strings.TrimLeft(fields[0], "/")
	data, ok := s.Files[name]
	if !ok {
		return fault(notFound, "there is no such file"), fmt.Sprintf("%s asks for %.80q, which is not served", from, fields[0])
	}
	of := 0
	for a := range s.at {
		if a.Addr() == from.Addr() && a != from {
			of++
		}
	}
	if s.at[from] == nil && (len(s.at) >= Most || of >= MostOfOne) {
		return fault(exhausted, "too many transfers: ask again"), fmt.Sprintf("%s: too many transfers", from)
	}
	t := &transfer{data: data, size: 512, every: again, name: name}
	options := t.take(fields[2:])
	if s.at == nil {
		s.at = map[netip.AddrPort]*transfer{}
	}
	s.at[from] = t
	if options != nil {
		return t.send(now, options), fmt.Sprintf("%s reads %s", from, name)
	}
	return t.next(now), fmt.Sprintf("%s reads %s", from, name)
}

// take takes over the options that are known, and gives the packet that says so; nil when there is none.
func (t *transfer) take(fields []string) []byte {
	out := bytes.NewBuffer([]byte{0, opOAck})
	for i := 0; i+1 < len(fields); i += 2 {
		value := fields[i+1]
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			continue
		}
		switch key := strings.ToLower(fields[i]); {
		case key == "blksize" && n >= 8:
			t.size = min(n, MaxBlock)
			fmt.Fprintf(out, "%s\x00%d\x00", key, t.size)
		case key == "tsize":
			fmt.Fprintf(out, "%s\x00%d\x00", key, len(t.data))
		case key == "timeout" && n >= 1 && n <= 255:
			t.every = time.Duration(min(n, 10)) * time.Second
			fmt.Fprintf(out, "%s\x00%d\x00", key, n)
		}
	}
	if out.Len() == 2 {
		return nil
	}
	return out.Bytes()
}

// acknowledged goes on to the next block, when it is the last one that was sent which has arrived.
func (s *Server) acknowledged(now time.Time, from netip.AddrPort, block uint64) ([]byte, string) {
	t := s.at[from]
	if t == nil || block != t.block&0xffff { // of an earlier one: a second answer would double all that follow
		return nil, ""
	}
	t.answers = true
	if t.last {
		delete(s.at, from)
		return nil, fmt.Sprintf("%s has %s", from, t.name)
	}
	return t.next(now), ""
}

// next sends the block after the one that is on its way. Numbers begin again at 0 after 65535, as clients expect of large files.
func (t *transfer) next(now time.Time) []byte {
	t.block++
	rest := t.data[min(uint64(len(t.data)), (t.block-1)*uint64(t.size)):]
	t.last = len(rest) < t.size
	rest = rest[:min(len(rest), t.size)]
	p := make([]byte, 4, 4+len(rest))
	p[1] = opData
	binary.BigEndian.PutUint16(p[2:], uint16(t.block))
	return t.send(now, append(p, rest...))
}

func (t *transfer) send(now time.Time, packet []byte) []byte {
	t.packet, t.sent, t.tries = packet, now, 1
	return packet
}

// Ended is a transfer whose client answers no longer.
type Ended struct {
	From netip.AddrPort
	Text string // for people
}

// Tick gives the packets that are to be sent once more, and ends the transfers whose clients answer no longer.
func (s *Server) Tick(now time.Time) (out []Packet, ended []Ended) {
	for to, t := range s.at {
		if now.Sub(t.sent) < t.every {
			continue
		}
		most := tries
		if !t.answers {
			most = 1 + stranger
		}
		if t.tries >= most {
			delete(s.at, to)
			ended = append(ended, Ended{to, fmt.Sprintf("%s no longer answers, at block %d of %s", to, t.block, t.name)})
			continue
		}
		t.tries, t.sent = t.tries+1, now
		out = append(out, Packet{to, t.packet})
	}
	return out, ended
}

// fault is an error packet.
func fault(code uint16, text string) []byte {
	p := binary.BigEndian.AppendUint16([]byte{0, opError}, code)
	return append(append(p, text...), 0)
}
