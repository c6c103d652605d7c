package world

import (
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// TestTemplates: what was pushed is listed beside what it became, under one name once.
func TestTemplates(t *testing.T) {
	made := []host.Template{{Image: host.Image{Name: "b:1", Digest: "sha256:b", Bytes: 7}},
		{Image: host.Image{Name: "c:1", Digest: "sha256:c"}}}
	pushed := []host.Import{{Name: "a:1", State: host.ImportFailed, Reason: "it is for s390x"},
		{Name: "c:1", State: host.ImportRunning, Percent: 40}}
	got := templates(made, pushed)
	want := []operator.Template{{Name: "a:1", State: "failed", Reason: "it is for s390x"},
		{Name: "b:1", State: "ready", Digest: "sha256:b", Bytes: 7},
		{Name: "c:1", State: "importing", Percent: 40, Digest: "sha256:c"}}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, w := range want {
		if g := got[i]; g.Name != w.Name || g.State != w.State || g.Reason != w.Reason || g.Percent != w.Percent || g.Digest != w.Digest {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}
