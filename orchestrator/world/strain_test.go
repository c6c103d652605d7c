package world

import (
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/strain"
)

func TestTallyOfStrain(t *testing.T) {
	var got Tally
	got.strain([]host.ContainerStatus{
		{Strain: strain.Strain{CPU: 9, Memory: 10, IO: 100, ThrottledMs: 5, Kills: 1, Connections: 1}},
		{Strain: strain.Strain{CPU: 50, Memory: 51, ThrottledMs: 7, Kills: 2}}, {}})
	if want := (Pressed{1, 2, 1, 1}); got.Pressed != want {
		t.Errorf("%+v are pressed, want %+v", got.Pressed, want)
	}
	if want := (Pressed{50, 51, 100, 0}); got.Worst != want {
		t.Errorf("the worst are %+v, want %+v", got.Worst, want)
	}
}
