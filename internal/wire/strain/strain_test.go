package strain

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Strain](t, "strain") }

func TestWords(t *testing.T) {
	if got := (Strain{}).Words(); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	got := strings.Join(Strain{CPU: 45, IO: 3, ThrottledMs: 1500, Kills: 2, Connections: 1}.Words(), ", ")
	if want := "processor 45 %, disk 3 %, held back by its CPU limit for 1500 ms, 2 killed as memory ran out, " +
		"it has as many connections as one may"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
