package world

import (
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/strain"
)

func TestTallyOfStrain(t *testing.T) {
	var got Tally
	got.strain([]host.ContainerStatus{
		{Restarts: 2, Strain: strain.Strain{CPU: 9, Memory: 10, IO: 100, ThrottledMs: 5, Kills: 1, Connections: 1}},
		{Restarts: 1, Strain: strain.Strain{CPU: 50, Memory: 50, ThrottledMs: 7, Kills: 2}}, {}})
	want := strain.Strain{CPU: 1, Memory: 2, IO: 1, ThrottledMs: 12, Kills: 3, Connections: 1}
	if got.Strain != want || got.Restarts != 3 {
		t.Errorf("%+v, %d restarts; want %+v, 3", got.Strain, got.Restarts, want)
	}
}
