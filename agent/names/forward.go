package names

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	patience = 4 * time.Second  // for an answer in all: containers ask twice, 2 s apart
	each     = 2 * time.Second  // for one server while there is another
	avoid    = 30 * time.Second // a server that did not answer is asked last for so long
)

// health remembers which servers did not answer. The zero value is ready.
type health struct {
	mu     sync.Mutex
	failed map[string]time.Time
}

// order is the servers with those last that failed lately, so that not every query waits for a dead one.
func (h *health) order(servers []string, now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var good, bad []string
	for _, s := range servers {
		if at, ok := h.failed[s]; ok && now.Sub(at) < avoid {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	for s := range h.failed { // of servers that are asked no more
		if now.Sub(h.failed[s]) >= avoid {
			delete(h.failed, s)
		}
	}
	return append(good, bad...)
}

func (h *health) note(server string, ok bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = map[string]time.Time{}
	}
	if ok {
		delete(h.failed, server)
		return
	}
	h.failed[server] = now
}

// forward asks the host's own servers, one after the other, until one has an answer: "I can't" (SERVFAIL, REFUSED) is none yet.
func (s *Server) forward(ctx context.Context, q *query, t *table) *dns.Msg {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var servers []string
	if s.Upstream != nil {
		servers = s.health.order(s.Upstream(), time.Now())
	}
	out := q.failed(dns.RcodeServerFailure)
	if len(servers) == 0 {
		note(out, dns.ExtendedErrorCodeNetworkError, "this host knows no name server")
	}
	for i, server := range servers {
		wait := each
		if i == len(servers)-1 {
			wait = patience
		}
		tctx, cancel := context.WithTimeout(ctx, wait)
		r, err := exchange(tctx, server, q)
		cancel()
		if ctx.Err() == nil || err == nil {
			s.health.note(server, err == nil, time.Now())
		}
		if err != nil {
			continue
		}
		out = t.pass(q, r)
		if out.Rcode != dns.RcodeServerFailure && out.Rcode != dns.RcodeRefused {
			break
		}
	}
	return out
}

// exchange asks one server: over UDP, and over TCP when the answer is longer or the client came that way.
func exchange(ctx context.Context, server string, q *query) (*dns.Msg, error) {
	if q.tcp {
		if r, err := once(ctx, "tcp", server, q, true); err == nil {
			return r, nil
		}
	}
	r, err := once(ctx, "udp", server, q, true)
	if err != nil {
		return nil, err
	}
	if (r.Rcode == dns.RcodeFormatError || r.Rcode == dns.RcodeNotImplemented) && r.IsEdns0() == nil { // it is older than EDNS (RFC 6891 7)
		if r, err = once(ctx, "udp", server, q, false); err != nil {
			return nil, err
		}
	}
	if r.Truncated {
		if whole, err := once(ctx, "tcp", server, q, r.IsEdns0() != nil); err == nil {
			return whole, nil
		}
	}
	return r, nil
}

// once sends the client's question under a number of our own, from a port that the kernel chose for this one query, and waits for the
// answer to exactly that (RFC 5452 9).
func once(ctx context.Context, network, server string, q *query, edns bool) (*dns.Msg, error) {
	var id [2]byte
	rand.Read(id[:])
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: binary.BigEndian.Uint16(id[:]), RecursionDesired: q.msg.RecursionDesired,
		CheckingDisabled: q.msg.CheckingDisabled},
		Question: q.msg.Question}
	if edns {
		m.SetEdns0(advertised, q.do)
	}
	raw, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("ask %s: %v", server, err)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %v", server, err)
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		c.SetDeadline(end)
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	if _, err := c.Write(raw); err != nil {
		return nil, fmt.Errorf("ask %s: %v", server, err)
	}
	for {
		raw, err := receiveFrom(c, network)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %v", server, err)
		}
		r := new(dns.Msg)
		perr := r.Unpack(raw)
		if len(raw) < headerSize || r.Id != m.Id || !r.Response {
			continue // not the answer: somebody guesses, or an old one is late
		}
		if perr != nil && network == "tcp" {
			return nil, fmt.Errorf("read the answer of %s: %v", server, perr)
		}
		if perr != nil { // longer than was asked for, or cut on its way
			r.Truncated, r.Answer, r.Ns, r.Extra = true, nil, nil, nil
		}
		if r.Opcode == dns.OpcodeQuery && len(r.Question) == 1 && same(r.Question[0], m.Question[0]) {
			return r, nil
		}
		if len(r.Question) == 0 && r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
			return r, nil // some servers repeat no question in a refusal; it says nothing of the name
		}
	}
}

// receiveFrom is the next message of a server.
func receiveFrom(c net.Conn, network string) ([]byte, error) {
	if network != "tcp" {
		buf := make([]byte, largestUDP)
		n, err := c.Read(buf)
		return buf[:n], err
	}
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(c, raw)
	return raw, err
}

func same(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
