package nameserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"hardnode.dev/orchestrator/resolver/zone"
)

const (
	headerSize = 12
	mostUDP    = 1232 // bytes of an answer over UDP: what no road cuts into pieces (RFC 9715)
	mostQuery  = 1024 // bytes of a query: a name and a few options
)

// query is a question, and how its answer must look.
type query struct {
	msg  *dns.Msg
	edns bool // the client sent an OPT
	do   bool // it wants DNSSEC's records, which are not there (RFC 3225: the bit comes back)
	size int  // bytes the answer may have
}

// respond answers a packet from anybody; nil: it is none that is answered. What is no query is not, so that two servers never talk with
// each other.
func respond(z *zone.Zone, raw []byte, tcp bool) []byte {
	if len(raw) < headerSize || len(raw) > mostQuery || raw[2]&0x80 != 0 {
		return nil
	}
	q, rcode := read(raw, tcp)
	if rcode != dns.RcodeSuccess {
		return q.refuse(raw, rcode)
	}
	a := z.Answer(q.msg.Question[0])
	m := new(dns.Msg).SetRcode(q.msg, a.Rcode)
	m.Authoritative, m.Answer, m.Ns, m.Extra = a.Authoritative, a.Answer, a.Authority, a.Additional
	return q.pack(m, tcp)
}

// read judges a message: what becomes of it is a code, 0 being that its question is answered.
func read(raw []byte, tcp bool) (*query, int) {
	m := new(dns.Msg)
	err := m.Unpack(raw)
	q := &query{msg: m, size: dns.MinMsgSize}
	if tcp {
		q.size = dns.MaxMsgSize
	}
	opts, misplaced := 0, len(m.Answer)+len(m.Ns) > 0
	for _, rr := range m.Extra {
		if o, ok := rr.(*dns.OPT); ok {
			opts++
			misplaced = misplaced || o.Hdr.Name != "."
			if q.edns, q.do = true, o.Do(); !tcp {
				q.size = min(max(int(o.UDPSize()), dns.MinMsgSize), mostUDP)
			}
		}
	}
	switch {
	case int(raw[2]>>3)&0xf != dns.OpcodeQuery:
		return q, dns.RcodeNotImplemented
	case err != nil, binary.BigEndian.Uint16(raw[4:]) != 1, len(m.Question) != 1: // RFC 9619: one question
		return q, dns.RcodeFormatError
	case m.Question[0].Qtype == dns.TypeIXFR: // its authority section is filled
		return q, dns.RcodeRefused
	case opts > 1, misplaced: // RFC 6891, section 6.1.1
		q.edns = false
		return q, dns.RcodeFormatError
	case opts == 1 && m.IsEdns0().Version() != 0: // RFC 6891, section 6.1.3
		return q, dns.RcodeBadVers
	}
	return q, unanswered(m.Question[0])
}

// unanswered says what becomes of questions that are none about data of the Internet.
func unanswered(q dns.Question) int {
	switch {
	case q.Qtype == dns.TypeNone, q.Qtype == dns.TypeOPT, q.Qclass == 0, q.Qclass == dns.ClassNONE:
		return dns.RcodeFormatError // none of them may be asked for (RFC 6895, sections 3.1 and 3.2)
	case q.Qclass != dns.ClassINET: // version.bind among them
		return dns.RcodeRefused
	case q.Qtype == dns.TypeAXFR: // whole zones are nobody's
		return dns.RcodeRefused
	case q.Qtype >= 128 && q.Qtype <= 255 && q.Qtype != dns.TypeANY: // TKEY, TSIG, MAILA, MAILB (RFC 6895, section 3.1)
		return dns.RcodeNotImplemented
	}
	return dns.RcodeSuccess
}

// refuse is an answer without data; the question is repeated when it could be read.
func (q *query) refuse(raw []byte, rcode int) []byte {
	r := &dns.Msg{MsgHdr: dns.MsgHdr{Id: binary.BigEndian.Uint16(raw), Response: true, Opcode: int(raw[2]>>3) & 0xf,
		RecursionDesired: raw[2]&1 != 0, Rcode: rcode}}
	if len(q.msg.Question) == 1 {
		r.Question = q.msg.Question
	}
	return q.pack(r, false)
}

// pack is r as bytes: compressed, with an OPT if and only if the client sent one. What only helps goes first if it does not fit (RFC 2181,
// section 9), then all: the client asks again over TCP.
func (q *query) pack(r *dns.Msg, tcp bool) []byte {
	r.Compress = true
	var own []dns.RR
	if q.edns {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(mostUDP)
		if q.do {
			o.SetDo()
		}
		own = []dns.RR{o}
	}
	helps := r.Extra
	r.Extra = append(append([]dns.RR{}, helps...), own...)
	raw, err := r.Pack()
	if err == nil && len(raw) > q.size && len(helps) > 0 {
		r.Extra = own
		raw, err = r.Pack()
	}
	if err == nil && len(raw) > q.size {
		r.Answer, r.Ns, r.Extra, r.Truncated = nil, nil, own, !tcp
		raw, err = r.Pack()
	}
	if err != nil { // the question can't be repeated
		r = &dns.Msg{MsgHdr: r.MsgHdr}
		if r.Rcode > 0xf || r.Rcode == dns.RcodeSuccess {
			r.Rcode = dns.RcodeServerFailure
		}
		if raw, err = r.Pack(); err != nil {
			return nil
		}
	}
	return raw
}

// cut is the answer to a packet of somebody who has had enough of them: nothing but that there is one over TCP, which nobody asks in
// another's name. It is no longer than the packet. Nil: it is none that is answered.
func cut(raw []byte) []byte {
	if len(raw) < headerSize || len(raw) > mostQuery || raw[2]&0x80 != 0 {
		return nil
	}
	m := new(dns.Msg)
	if m.Unpack(raw) != nil || len(m.Question) != 1 || m.Opcode != dns.OpcodeQuery {
		return nil
	}
	r := new(dns.Msg).SetReply(m)
	r.Truncated = true
	out, err := r.Pack()
	if err != nil || len(out) > len(raw) {
		return nil
	}
	return out
}
