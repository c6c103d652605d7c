// Package device makes and removes the links that are no cards: bonds and VLANs.
//
// Owns: every bond and VLAN in the host's own network namespace (the agent makes none); which card is in which bond.
// In: the devices that are wanted, whole; those that the kernel has.
// Out: steps in order, each with its reason; devices without addresses, which package link gives.
// Never: remembers what it made: what the kernel has and nobody wants is removed, also after netd was ended in the middle.
package device

import (
	"fmt"
	"slices"

	"hardnode.dev/internal/wire/boot"
)

// Device is a bond or a VLAN, as it is wanted or as the kernel has it. Cards are known by the kernel's index: their names change.
type Device struct {
	Name  string
	Bond  boot.BondMode // "" is a VLAN
	Ports []int         // of a bond: cards that are there
	// name of the bond's first choice, "" is none
	Primary string
	VLAN    int    // id
	Card    int    // of a VLAN: the card below, 0 where that is a bond
	Below   string // of a VLAN: the bond below
}

// Verb is what a step does.
type Verb string

const (
	Remove  Verb = "remove"
	Release Verb = "release" // a card from its bond
	Make    Verb = "make"
	Attach  Verb = "attach" // a card to a bond; its addresses are taken away
	Prefer  Verb = "prefer" // sets a bond's primary
)

// Op is one step.
type Op struct {
	Do     Verb
	Device Device
	Card   int // of Release and Attach
	Reason string
}

// Before are the steps that take away what is not wanted as it is. They come before cards get their names: a card may be given that of a
// device which goes. VLANs go before the bonds that they are on.
func Before(want, have []Device) (ops []Op) {
	goes := leaving(want, have)
	for _, vlans := range []bool{true, false} {
		for _, h := range have {
			if reason := goes[h.Name]; reason != "" && (h.Bond == "") == vlans {
				ops = append(ops, Op{Do: Remove, Device: h, Reason: reason})
			}
		}
	}
	for _, h := range have {
		if h.Bond == "" || goes[h.Name] != "" {
			continue
		}
		w := want[find(want, h.Name)]
		for _, card := range h.Ports {
			if !slices.Contains(w.Ports, card) {
				ops = append(ops, Op{Do: Release, Device: h, Card: card, Reason: "the bond is wanted without it"})
			}
		}
	}
	return ops
}

// After are the steps that make what is not there, when Before is done and cards have their names. Bonds get their cards before VLANs come.
func After(want, have []Device) (ops []Op) {
	goes := leaving(want, have)
	var vlans []Op
	for _, w := range want {
		var h Device
		if i := find(have, w.Name); i >= 0 && goes[w.Name] == "" {
			h = have[i]
		}
		switch {
		case h.Name != "":
		case w.Bond == "":
			vlans = append(vlans, Op{Do: Make, Device: w, Reason: "it is wanted and not there"})
		default:
			ops = append(ops, Op{Do: Make, Device: w, Reason: "it is wanted and not there"})
		}
		for _, card := range w.Ports {
			if !slices.Contains(h.Ports, card) {
				ops = append(ops, Op{Do: Attach, Device: w, Card: card, Reason: "the bond is wanted with it"})
			}
		}
		if w.Bond == boot.ActiveBackup && w.Primary != h.Primary {
			ops = append(ops, Op{Do: Prefer, Device: w, Reason: fmt.Sprintf("it was %q", h.Primary)})
		}
	}
	return append(ops, vlans...)
}

// leaving are the devices that must go, each with why.
func leaving(want, have []Device) map[string]string {
	goes := map[string]string{}
	for _, h := range have {
		i := find(want, h.Name)
		switch {
		case i < 0:
			goes[h.Name] = "nothing wants it"
		case want[i].Bond != h.Bond:
			goes[h.Name] = fmt.Sprintf("it is wanted as %s", kind(want[i]))
		case h.Bond == "" && (want[i].VLAN != h.VLAN || want[i].Card != h.Card || want[i].Below != h.Below):
			goes[h.Name] = fmt.Sprintf("it is wanted as %s", kind(want[i]))
		}
	}
	for _, h := range have { // what lies on one that goes
		if h.Bond == "" && h.Below != "" && goes[h.Below] != "" && goes[h.Name] == "" {
			goes[h.Name] = "the bond below is made anew"
		}
	}
	return goes
}

func kind(d Device) string {
	if d.Bond != "" {
		return "a bond in mode " + string(d.Bond)
	}
	return fmt.Sprintf("VLAN %d of another link", d.VLAN)
}

func find(all []Device, name string) int {
	return slices.IndexFunc(all, func(d Device) bool { return d.Name == name })
}
