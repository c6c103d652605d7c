package env

import (
	"fmt"
	"maps"
	"slices"

	"hardnode.dev/internal/wire/operator"
)

// placement says what is wrong with what a layer asks of hosts; at names it.
func placement(at string, p *operator.PlaceSpec) (found []*operator.Problem) {
	if p == nil {
		return nil
	}
	bad := func(object, reason, next string) {
		found = append(found, operator.NewProblem(operator.Invalid, object, reason, next))
	}
	if len(p.Labels)+len(p.Zones) == 0 {
		bad(at, "it names neither labels nor zones", "name some, as place: {labels: {disk: ssd}, zones: [a, b]}, or leave place out")
	}
	if len(p.Labels) > operator.MaxWantLabels {
		bad(at+".labels", fmt.Sprintf("there are %d labels, at most %d are allowed", len(p.Labels), operator.MaxWantLabels),
			"have one label stand for several")
		return found
	}
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		if err := operator.Label(name, p.Labels[name]); err != nil {
			bad(at+".labels", err.Error(), "correct the label: hosts have none like that")
		} else if name == operator.ZoneLabel {
			bad(at+".labels", "label zone is the host's zone, and zones are named by themselves",
				fmt.Sprintf("write zones: [%s]", p.Labels[name]))
		}
	}
	if len(p.Zones) > operator.MaxWantZones {
		bad(at+".zones", fmt.Sprintf("there are %d zones, at most %d are allowed", len(p.Zones), operator.MaxWantZones),
			"leave zones out for all of them")
		return found
	}
	for i, z := range p.Zones {
		object := fmt.Sprintf("%s.zones[%d]", at, i)
		if err := operator.Label(operator.ZoneLabel, z); err != nil {
			bad(object, err.Error(), "correct the zone: no host is in one like that")
		} else if slices.Contains(p.Zones[:i], z) {
			bad(object, fmt.Sprintf("zone %q is there twice", z), "name each zone once")
		}
	}
	return found
}
