package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	begin  = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	client = netip.MustParseAddrPort("10.88.0.50:1024")
)

// rrq asks for a file, with options.
func rrq(name string, options ...string) []byte {
	out := []byte{0, opRead}
	for _, s := range append([]string{name, "octet"}, options...) {
		out = append(append(out, s...), 0)
	}
	return out
}

func ack(block int) []byte { return binary.BigEndian.AppendUint16([]byte{0, opAck}, uint16(block)) }

// TestReads: a file of any length arrives whole, whatever block size is asked for, also past 65,535 blocks.
func TestReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 3000).Draw(t, "size")
		blocks := rapid.SampledFrom([]string{"", "8", "512", "1024", "1456", "65464"}).Draw(t, "blksize")
		file := bytes.Repeat([]byte("x1"), 1500)[:size]
		s := Server{Files: map[string][]byte{"a": file}}
		options, first := []string(nil), 1
		if blocks != "" {
			options, first = []string{"tsize", "0", "BLKSIZE", blocks, "windowsize", "64"}, 0
		}
		reply, _ := s.Handle(begin, client, rrq("a", options...))
		if first == 0 {
			want := fmt.Sprintf("tsize\x00%d\x00blksize\x00", size)
			if !strings.HasPrefix(string(reply[2:]), want) || bytes.Contains(reply, []byte("window")) {
				t.Fatalf("the options are %q", reply)
			}
			reply, _ = s.Handle(begin, client, ack(0))
		}
		var got []byte
		for n := 1; reply != nil; n++ {
			if len(reply) > MaxBlock+4 || reply[1] != opData || binary.BigEndian.Uint16(reply[2:]) != uint16(n) {
				t.Fatalf("block %d begins %v and has %d bytes", n, reply[:4], len(reply))
			}
			got = append(got, reply[4:]...)
			reply, _ = s.Handle(begin, client, ack(n))
		}
		if !bytes.Equal(got, file) || len(s.at) != 0 {
			t.Fatalf("%d bytes arrived, want %d; %d transfers are left", len(got), len(file), len(s.at))
		}
	})
}

// TestLongFile: the numbers of blocks begin again.
func TestLongFile(t *testing.T) {
	s := Server{Files: map[string][]byte{"a": make([]byte, 70_000*8+3)}}
	s.Handle(begin, client, rrq("a", "blksize", "8"))
	reply, _ := s.Handle(begin, client, ack(0))
	n, blocks := 0, 0
	for ; reply != nil; blocks++ {
		n += len(reply) - 4
		reply, _ = s.Handle(begin, client, ack(blocks+1))
	}
	if n != 70_000*8+3 || blocks != 70_001 {
		t.Errorf("%d bytes in %d blocks", n, blocks)
	}
}

// TestRefuses: what is no request for a file that is served.
func TestRefuses(t *testing.T) {
	s := Server{Files: map[string][]byte{"a": []byte("text")}}
	for name, c := range map[string]struct {
		raw  []byte
		code byte
	}{
		"another file":   {rrq("b"), notFound},
		"a path":         {rrq("../../etc/passwd"), notFound},
		"a written file": {append([]byte{0, opWrite}, "a\x00octet\x00"...), illegal},
		"netascii":       {append([]byte{0, opRead}, "a\x00netascii\x00"...), illegal},
		"no mode":        {append([]byte{0, opRead}, "a\x00"...), illegal},
		"many options":   {rrq("a", strings.Split(strings.Repeat("blksize 8 ", 50), " ")...), illegal},
	} {
		reply, what := s.Handle(begin, client, c.raw)
		if len(reply) < 5 || reply[1] != opError || reply[3] != c.code || what == "" || len(s.at) != 0 {
			t.Errorf("%s: got %q, %q", name, reply, what)
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "a bit": {0}, "data": {0, opData, 0, 1}, "an ack of nobody": ack(1),
		"noise": []byte("hello")} {
		if reply, what := s.Handle(begin, client, raw); reply != nil || what != "" {
			t.Errorf("%s: got %q, %q, want silence", name, reply, what)
		}
	}
	if reply, _ := s.Handle(begin, client, rrq("/a")); string(reply[4:]) != "text" {
		t.Errorf("a name with a slash before it: %q", reply)
	}
}

// TestForgedSender: an address that never answers gets two packets of a file, and an old acknowledgement none.
func TestForgedSender(t *testing.T) {
	s := Server{Files: map[string][]byte{"a": make([]byte, 5000)}}
	s.Handle(begin, client, rrq("a"))
	sent := 1
	for i := range 60 {
		out, _ := s.Tick(begin.Add(time.Duration(i) * time.Second))
		sent += len(out)
	}
	if sent != 2 || len(s.at) != 0 {
		t.Errorf("%d packets were sent, %d transfers are left", sent, len(s.at))
	}
	s.Handle(begin, client, rrq("a"))
	s.Handle(begin, client, ack(1))
	for range 5 {
		if reply, _ := s.Handle(begin, client, ack(1)); reply != nil {
			t.Error("an old acknowledgement is answered")
		}
	}
	sent, ended := 0, 0
	for i := range 60 {
		out, over := s.Tick(begin.Add(time.Duration(i) * time.Second))
		sent, ended = sent+len(out), ended+len(over)
	}
	if sent != tries-1 || ended != 1 {
		t.Errorf("to a client that fell silent %d packets were sent again, %d ended", sent, ended)
	}
}

// TestMany: transfers have an end in number, of one address and in all; a request again begins anew.
func TestMany(t *testing.T) {
	s := Server{Files: map[string][]byte{"a": make([]byte, 5000)}}
	from := func(host, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 88, byte(host / 256), byte(host)}), uint16(port))
	}
	for port := range MostOfOne + 3 {
		reply, _ := s.Handle(begin, from(1, 1024+port), rrq("a"))
		if refused := reply[1] == opError; refused != (port >= MostOfOne) {
			t.Errorf("transfer %d of an address: %v", port, reply[:4])
		}
	}
	if reply, _ := s.Handle(begin, from(1, 1024), rrq("a")); reply[1] != opData || reply[3] != 1 {
		t.Errorf("asked again: %v", reply[:4])
	}
	for host := 2; host < 2*Most; host++ {
		s.Handle(begin, from(host, 1024), rrq("a"))
	}
	if len(s.at) != Most {
		t.Errorf("%d transfers, want %d", len(s.at), Most)
	}
	s.Handle(begin, from(1, 1024), []byte{0, opError, 0, 0, 0})
	if reply, _ := s.Handle(begin, from(999, 1024), rrq("a")); reply[1] != opData {
		t.Error("a place that is free again can't be had")
	}
}

// FuzzHandle: no packet is answered with more than one block.
func FuzzHandle(f *testing.F) {
	f.Add(rrq("a", "blksize", "1456"), ack(0))
	f.Add(rrq("a"), ack(1))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		s := Server{Files: map[string][]byte{"a": make([]byte, 5000)}}
		for _, raw := range [][]byte{one, two} {
			if reply, _ := s.Handle(begin, client, raw); len(reply) > MaxBlock+4 {
				t.Errorf("%d bytes", len(reply))
			}
		}
		s.Tick(begin.Add(time.Minute))
	})
}
