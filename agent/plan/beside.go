package plan

import (
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// besides are the components whose version on trial runs beside the one before: what they serve must not pause, and two of them do no
// harm. The one before serves until the new one does, and is there when that fails; once the new one is confirmed it serves until its own
// place is taken. The others have data that one process alone may have.
//
//	trial: [4 last version] [54 new version] ─54 serves→ the published ports lead to 54 ─54 fails→ they lead to 4
//	confirmed: [54 new version] 4 is made anew ─4 serves→ the published ports lead to 4, 54 goes
var besides = []string{host.ComponentResolver}

// besideStep is what is added to a component's number and to the last byte of its addresses: numbers below 100 are the platform's, and Day
// 0 and orchestrator give components the addresses from the tenth of the infra host's block on, by their numbers.
const besideStep = 50

// isBeside tells whether a number is that of what runs beside a component.
func isBeside(id wire.CTID) bool { return id > besideStep && id < wire.FirstUserCTID }

// OfComponent is the number of the component that a container is, or runs beside: their certificate is the same.
func OfComponent(id wire.CTID) wire.CTID {
	if isBeside(id) {
		return id - besideStep
	}
	return id
}

// runsBeside tells whether a component's versions run beside one another.
func runsBeside(c host.Container) bool {
	return c.Env == Jelastic && slices.Contains(besides, c.Component) && c.CTID < besideStep && c.Run && !c.Remove
}

// Tried is the number under which a component's version on trial runs.
func Tried(c host.Container) wire.CTID {
	if runsBeside(c) {
		return beside(c).CTID
	}
	return c.CTID
}

// beside is the container that runs a component's version beside another one. It has volumes of its own.
func beside(c host.Container) host.Container {
	c.CTID += besideStep
	c.IPv4, c.IPv6 = stepped(c.IPv4, besideStep), stepped(c.IPv6, besideStep)
	return c
}

// SpeaksAs are the addresses that other hosts know what runs beside a component by: the component's. Other containers have none but their
// own, and get zero ones.
func SpeaksAs(c host.Container) (v4, v6 netip.Addr) {
	if !isBeside(c.CTID) {
		return v4, v6
	}
	return stepped(c.IPv4, -besideStep), stepped(c.IPv6, -besideStep)
}

func stepped(a netip.Addr, by int) netip.Addr {
	if !a.IsValid() {
		return a
	}
	raw := a.AsSlice()
	raw[len(raw)-1] += byte(by)
	a, _ = netip.AddrFromSlice(raw)
	return a
}

// Relieve is eff without what runs beside a component that needs it no more: it serves itself as it shall, or what is beside it does not
// run. What is on trial stays.
func Relieve(eff *host.Work, in Input) *host.Work {
	if eff == nil || !slices.ContainsFunc(eff.Containers, func(c host.Container) bool { return isBeside(c.CTID) }) {
		return eff
	}
	out := *eff
	out.Containers = slices.DeleteFunc(slices.Clone(eff.Containers), func(c host.Container) bool {
		if !isBeside(c.CTID) {
			return false
		}
		own := find(eff, OfComponent(c.CTID))
		return own.Generation == c.Generation && (serves(own, in) || !runsAs(c, in))
	})
	return &out
}

// Leads tells whether the ports that a container publishes lead to it, of a component and what runs beside it to one. eff is relieved.
func Leads(eff *host.Work, in Input, id wire.CTID) bool {
	if id >= wire.FirstUserCTID || eff == nil {
		return true
	}
	own := find(eff, OfComponent(id))
	other := find(eff, OfComponent(id)+besideStep)
	ahead := other.CTID != 0 && (other.Generation == own.Generation || serves(other, in))
	return isBeside(id) == ahead
}

// Told are the statuses as the orchestrator knows the containers: that of what runs beside a component is the component's. eff is relieved.
func Told(statuses []host.ContainerStatus, eff *host.Work) []host.ContainerStatus {
	instead := map[wire.CTID]host.ContainerStatus{}
	for _, s := range statuses {
		if isBeside(s.CTID) && find(eff, s.CTID).CTID != 0 {
			s.CTID = OfComponent(s.CTID)
			instead[s.CTID] = s
		}
	}
	out := make([]host.ContainerStatus, 0, len(statuses))
	for _, s := range statuses {
		if isBeside(s.CTID) {
			continue // it goes
		}
		if b, ok := instead[s.CTID]; ok {
			s = b
		}
		out = append(out, s)
	}
	return out
}

// find is a container of w, or the zero one.
func find(w *host.Work, id wire.CTID) host.Container {
	if w != nil {
		for _, c := range w.Containers {
			if c.CTID == id {
				return c
			}
		}
	}
	return host.Container{}
}

// runsAs tells whether a container runs as it shall, serves whether its check passes too.
func runsAs(c host.Container, in Input) bool {
	s := in.Seen[c.CTID]
	return c.CTID != 0 && s.Running && s.Generation == c.Generation
}

func serves(c host.Container, in Input) bool {
	return runsAs(c, in) && (c.Check == nil || in.Health[c.CTID].OK)
}
