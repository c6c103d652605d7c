package operator

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
)

// ZoneLabel is the label of a host that says in which zone it is: what fails together (a rack, a room, a feed). The nodes of a layer are
// spread over zones first.
const ZoneLabel = "zone"

// The bounds on labels: of a host, and of what a layer asks for.
const (
	MaxHostLabels = 32
	MaxWantLabels = 10
	MaxWantZones  = 10
)

// HostLabels is what those who run the cluster say of a host, for placing: layers ask for it (PlaceSpec).
type HostLabels struct {
	Labels   map[string]string `json:"labels" doc:"Names (1 to 40 characters: lower-case letters, digits, '-', '_' and '.', starting with a letter) and values (1 to 63 characters: letters, digits, '-', '_' and '.'), at most 32; zone is the host's zone"`
	Revision wire.Revision     `json:"revision" doc:"Of the host's record: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}

// SetHostLabels replaces the labels of a host.
type SetHostLabels struct {
	Labels map[string]string `json:"labels" required:"true" doc:"All that it has from then on, at most 32"`
}

// PlaceSpec says which hosts take the nodes of a layer: those that have all the labels, and are in one of the zones if some are named.
type PlaceSpec struct {
	Labels map[string]string `json:"labels,omitempty" yaml:"labels" doc:"Labels that a host must have, all of them, at most 10"`
	Zones  []string          `json:"zones,omitempty" yaml:"zones" maxItems:"10" doc:"Zones, the values of hosts' label zone, of which the host must be in one; left out: any"`
}

var (
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,39}$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
)

// LabelName says why a text can't name a label, or nil.
func LabelName(name string) error {
	if !labelName.MatchString(name) {
		return fmt.Errorf("label %q: want 1 to 40 lower-case letters, digits, '-', '_' and '.', starting with a letter", clip(name))
	}
	return nil
}

// Label says why a label can't have a name and a value, or nil.
func Label(name, value string) error {
	if err := LabelName(name); err != nil {
		return err
	}
	if !labelValue.MatchString(value) {
		return fmt.Errorf("label %s: value %q: want 1 to 63 letters, digits, '-', '_' and '.'", name, clip(value))
	}
	return nil
}

// clip keeps what can't be a label from being the whole of an error.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Labels says why a host can't have these labels, or nil.
func Labels(list map[string]string) error {
	if len(list) > MaxHostLabels {
		return fmt.Errorf("%d labels, a host has at most %d", len(list), MaxHostLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if err := Label(name, list[name]); err != nil {
			return err
		}
	}
	return nil
}

// LabelWords are labels as people write them, by name.
func LabelWords(list map[string]string) []string {
	out := make([]string, 0, len(list))
	for _, name := range slices.Sorted(maps.Keys(list)) {
		out = append(out, name+"="+list[name])
	}
	return out
}

// Takes tells whether a host with these labels takes the nodes; nil: every host does.
func (p *PlaceSpec) Takes(labels map[string]string) bool { return len(p.Lacks(labels)) == 0 }

// Lacks is what a host with these labels lacks to take the nodes, each in the words of who asked for it: nothing else of the host's labels
// is told.
func (p *PlaceSpec) Lacks(labels map[string]string) (out []string) {
	if p == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		if labels[name] != p.Labels[name] {
			out = append(out, "label "+name+"="+p.Labels[name])
		}
	}
	if len(p.Zones) > 0 && !slices.Contains(p.Zones, labels[ZoneLabel]) {
		out = append(out, p.zones())
	}
	return out
}

func (p *PlaceSpec) zones() string {
	zones := p.sorted()
	if len(zones) == 1 {
		return "label " + ZoneLabel + "=" + zones[0]
	}
	return "label " + ZoneLabel + " of " + strings.Join(zones, ", ")
}

func (p *PlaceSpec) sorted() []string { return slices.Compact(slices.Sorted(slices.Values(p.Zones))) }

// String is what is asked for, in one line: any host, of none.
func (p *PlaceSpec) String() string {
	if p == nil {
		return "any host"
	}
	return cmp.Or(strings.Join(p.Lacks(nil), " and "), "any host")
}

// Same tells whether two ask for the same: in which order zones are written does not count.
func (p *PlaceSpec) Same(o *PlaceSpec) bool {
	if p == nil || o == nil {
		return p == o
	}
	return maps.Equal(p.Labels, o.Labels) && slices.Equal(p.sorted(), o.sorted())
}
