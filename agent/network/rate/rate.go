// Package rate limits how much a container sends and receives in a second.
//
// Owns: the queueing disciplines of the host's ends of containers' links (tc-tbf(8), tc-police(8)): they are out of the containers' reach.
// In: the rate of each link, by name.
// Out: a kernel that has these.
// Never: touches other links, or decides how much a container may send.
//
// What goes to a container is queued and sent as its rate allows. What comes from one can't be queued on this side: what is beyond the rate
// and Burst is dropped, and TCP sends less then.
package rate

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Rate is what a container may send (Out) and receive (In): bits a second, 0 for as much as there is room for.
type Rate struct{ In, Out int64 }

// most is the highest rate that can be set: the kernel's policer counts bytes in 32 bits.
const most = 8 * int64(1<<32-1)

// Limits of what may come at once, in bytes. A packet of the kernel's own making is up to 64 KiB, so a burst holds two at least.
const (
	leastBurst = 128 << 10
	psched     = 64 // nanoseconds in the kernel's tick (PSCHED_SHIFT)
)

// shape is how a rate is set.
type shape struct {
	bytes uint64 // a second
	burst uint32 // bytes: a twentieth of a second
	queue uint32 // bytes that wait: a fifth of a second more
}

func shapeOf(bits int64) shape {
	bytes := uint64(max(min(bits, most)/8, 1000))
	const top = 1 << 30
	burst := max(min(bytes/20, top), leastBurst)
	return shape{bytes, uint32(burst), uint32(burst + min(bytes/5, top))}
}

// held is what may come at once where nothing is queued: a fifth of a second, else TCP, which takes a loss for a narrow way, sends half of
// the rate.
func (s shape) held() uint32 { return uint32(max(min(s.bytes/5, 1<<30), leastBurst)) }

// ticks is a burst as tbf counts it.
func (s shape) ticks() uint32 { return uint32(min(uint64(s.burst)*1e9/s.bytes/psched, 1<<32-1)) }

// seen is what a link has.
type seen struct {
	tbf     *netlink.Tbf
	ingress netlink.Qdisc
}

// Apply gives each link of want its rate; a link that is not there yet is left out. ours tells which links are containers': those that want
// has no rate of lose what they have.
func Apply(want map[string]Rate, ours func(name string) bool) error {
	list, err := netlink.QdiscList(nil)
	if err != nil {
		return fmt.Errorf("list rates of links: %w", err)
	}
	have := map[int]seen{}
	for _, q := range list {
		s := have[q.Attrs().LinkIndex]
		if t, ok := q.(*netlink.Tbf); ok && q.Attrs().Parent == netlink.HANDLE_ROOT {
			s.tbf = t
		}
		if q.Type() == "ingress" {
			s.ingress = q
		}
		have[q.Attrs().LinkIndex] = s
	}
	if len(want) == 0 && !limited(have) {
		return nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		if name := l.Attrs().Name; ours(name) {
			errs = append(errs, in(l, want[name].In, have[l.Attrs().Index].tbf), out(l, want[name].Out, have[l.Attrs().Index].ingress))
		}
	}
	return errors.Join(errs...)
}

// limited tells whether any link has a rate.
func limited(have map[int]seen) bool {
	for _, s := range have {
		if s.tbf != nil || s.ingress != nil {
			return true
		}
	}
	return false
}

// in sets what a link sends to its container.
func in(l netlink.Link, bits int64, has *netlink.Tbf) error {
	attrs := netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)}
	if bits <= 0 {
		if has == nil {
			return nil
		}
		return said(l, "take the rate off", netlink.QdiscDel(has))
	}
	s := shapeOf(bits)
	if has != nil && has.Rate == s.bytes && has.Limit == s.queue {
		return nil
	}
	q := &netlink.Tbf{QdiscAttrs: attrs, Rate: s.bytes, Limit: s.queue, Buffer: s.ticks()}
	return said(l, "set the rate of", netlink.QdiscReplace(q))
}

// out sets what a link takes from its container.
func out(l netlink.Link, bits int64, has netlink.Qdisc) error {
	if has != nil {
		if bits > 0 && polices(l, shapeOf(bits)) {
			return nil
		}
		if err := netlink.QdiscDel(has); err != nil {
			return said(l, "take the rate off", err)
		}
	}
	if bits <= 0 {
		return nil
	}
	s := shapeOf(bits)
	q := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_INGRESS,
		Handle: netlink.MakeHandle(0xffff, 0)}}
	if err := netlink.QdiscAdd(q); err != nil {
		return said(l, "set the rate of", err)
	}
	police := netlink.NewPoliceAction()
	police.Rate, police.Burst, police.Mtu, police.ExceedAction = uint32(s.bytes), s.held(), leastBurst, netlink.TC_POLICE_SHOT
	err := netlink.FilterAdd(&netlink.MatchAll{FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: q.Handle, Priority: 1,
		Protocol: unix.ETH_P_ALL}, Actions: []netlink.Action{police}})
	return said(l, "set the rate of", err)
}

// polices tells whether a link takes just so much from its container.
func polices(l netlink.Link, s shape) bool {
	list, err := netlink.FilterList(l, netlink.MakeHandle(0xffff, 0))
	if err != nil {
		return false
	}
	for _, f := range list {
		if m, ok := f.(*netlink.MatchAll); ok && len(m.Actions) == 1 {
			p, ok := m.Actions[0].(*netlink.PoliceAction)
			return ok && uint64(p.Rate) == s.bytes
		}
	}
	return false
}

// said is an error with the link's name; a link that went meanwhile is none.
func said(l netlink.Link, what string, err error) error {
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, l.Attrs().Name, err)
}
