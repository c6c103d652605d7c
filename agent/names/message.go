package names

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	largestUDP = 4096 // bytes of an answer over UDP: between a container and its host there is one link, and no other road
	advertised = 1232 // bytes we take over UDP: what no road cuts into pieces (RFC 9715)
)

// query is a question that can be worked on, and how its answer must look.
type query struct {
	msg  *dns.Msg // one question; its case is the client's
	edns bool     // the client sent an OPT
	do   bool     // DNSSEC records are wanted (RFC 3225)
	size int      // bytes the answer may have
	tcp  bool
}

func (q *query) question() dns.Question { return q.msg.Question[0] }

// read judges a message. It is either a query, or has a refusal as its answer, or (both nil) gets none: what is no query, and what can't be
// answered.
func read(raw []byte, tcp bool) (*query, []byte) {
	if len(raw) < headerSize || raw[2]&0x80 != 0 {
		return nil, nil
	}
	m := new(dns.Msg)
	err := m.Unpack(raw)
	q := &query{msg: m, tcp: tcp, size: dns.MinMsgSize}
	if tcp {
		q.size = dns.MaxMsgSize
	}
	opts, misplaced := 0, false
	for _, rr := range m.Extra {
		if o, ok := rr.(*dns.OPT); ok {
			opts++
			misplaced = misplaced || o.Hdr.Name != "."
			q.edns, q.do = true, o.Do()
			if !tcp {
				q.size = min(max(int(o.UDPSize()), dns.MinMsgSize), largestUDP)
			}
		}
	}
	for _, rr := range append(append([]dns.RR{}, m.Answer...), m.Ns...) {
		misplaced = misplaced || rr.Header().Rrtype == dns.TypeOPT
	}
	switch {
	case m.Opcode != dns.OpcodeQuery:
		return nil, q.refuse(raw, dns.RcodeNotImplemented)
	case err != nil, binary.BigEndian.Uint16(raw[4:]) != 1, len(m.Question) != 1: // RFC 9619: one question
		return nil, q.refuse(raw, dns.RcodeFormatError)
	case opts > 1, misplaced: // RFC 6891 6.1.1
		q.edns = false
		return nil, q.refuse(raw, dns.RcodeFormatError)
	case opts == 1 && m.IsEdns0().Version() != 0: // RFC 6891 6.1.3
		return nil, q.refuse(raw, dns.RcodeBadVers)
	}
	if rcode := unasked(m.Question[0]); rcode != dns.RcodeSuccess {
		return nil, q.refuse(raw, rcode)
	}
	return q, nil
}

// unasked says what becomes of questions that are none about data of the Internet.
func unasked(q dns.Question) int {
	switch {
	case q.Qtype == dns.TypeNone, q.Qtype == dns.TypeOPT, q.Qclass == 0, q.Qclass == dns.ClassNONE:
		return dns.RcodeFormatError // none of them may be asked for (RFC 6895 3.1, 3.2)
	case q.Qclass != dns.ClassINET: // version.bind among them
		return dns.RcodeRefused
	case q.Qtype == dns.TypeAXFR, q.Qtype == dns.TypeIXFR:
		return dns.RcodeRefused // whole zones are nobody's
	case q.Qtype >= 128 && q.Qtype <= 255 && q.Qtype != dns.TypeANY: // meta types: TKEY, TSIG, MAILA, MAILB (RFC 6895 3.1)
		return dns.RcodeNotImplemented
	}
	return dns.RcodeSuccess
}

// refuse is an answer without data; the question is repeated when it could be read.
func (q *query) refuse(raw []byte, rcode int) []byte {
	r := &dns.Msg{MsgHdr: dns.MsgHdr{
		Id:                 binary.BigEndian.Uint16(raw),
		Response:           true,
		Opcode:             int(raw[2]>>3) & 0xf,
		RecursionDesired:   raw[2]&1 != 0,
		RecursionAvailable: true,
		Rcode:              rcode,
	}}
	if len(q.msg.Question) == 1 {
		r.Question = q.msg.Question
	}
	return q.pack(r)
}

// failed is an answer without data to a query that was understood.
func (q *query) failed(rcode int) *dns.Msg {
	r := new(dns.Msg).SetRcode(q.msg, rcode)
	r.RecursionAvailable = true
	return r
}

// local is the answer for what is answered here. A name that is not there, or has nothing of the kind, comes with its zone's SOA (RFC
// 2308).
func (q *query) local(l reply) *dns.Msg {
	r := q.failed(l.rcode)
	r.Authoritative = l.zone != ""
	if r.Answer = l.answer; len(r.Answer) == 0 && l.zone != "" {
		r.Ns = []dns.RR{soa(l.zone)}
	}
	return r
}

// pack is r as bytes: compressed, with an OPT of our own if and only if the client sent one, and cut to the client's size with TC set
// (RFC 1035 4.2.1, RFC 6891 6.2.5). What only helps (the additional section, and the authority section beside an answer) goes first and is
// not missed (RFC 2181 9). nil: there is no way to say it.
func (q *query) pack(r *dns.Msg) []byte {
	if q.edns {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(advertised)
		if q.do {
			o.SetDo()
		}
		if r.Extra, o.Option = takeNotes(r.Extra); o.Option != nil {
			o.Option = o.Option[:1]
		}
		r.Extra = append(r.Extra, o)
	} else {
		r.Extra, _ = takeNotes(r.Extra)
	}
	r.Compress = true
	if raw, err := r.Pack(); err == nil && len(raw) <= q.size {
		return raw
	}
	keep := r.Extra[:0]
	for _, rr := range r.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			keep = append(keep, rr)
		}
	}
	r.Extra = keep
	if len(r.Answer) > 0 {
		r.Ns = nil
	}
	if raw, err := r.Pack(); err == nil && len(raw) <= q.size {
		return raw
	}
	r.Truncate(q.size)
	r.Compress = true
	if raw, err := r.Pack(); err == nil && len(raw) <= q.size {
		return raw
	}
	r.Answer, r.Ns, r.Truncated = nil, nil, !q.tcp
	if q.tcp {
		r.Rcode = dns.RcodeServerFailure
	}
	raw, err := r.Pack()
	if err != nil {
		return nil
	}
	return raw
}

// note leaves word for the client in r: why there is less than it asked for (RFC 8914). It travels as an OPT that pack takes out again.
func note(r *dns.Msg, code uint16, text string) {
	r.Extra = append(r.Extra, &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT},
		Option: []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: code, ExtraText: text}}})
}

func takeNotes(extra []dns.RR) (rest []dns.RR, notes []dns.EDNS0) {
	for _, rr := range extra {
		if o, ok := rr.(*dns.OPT); ok {
			notes = append(notes, o.Option...)
			continue
		}
		rest = append(rest, rr)
	}
	return rest, notes
}
