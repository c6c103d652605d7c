package edit

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

// A redeploy that is undone brings back the very image of before, with the variables and the size of now; volumes stay, and those of the
// image of before are there again. A node that was made since gets the image and no files. What goes is said.
func TestBack(t *testing.T) {
	was := operator.LayerSpec{Name: "cp", Template: "sql:1", Nodes: 2, Cloudlets: wire.Cloudlets{Dynamic: 4}, HTTP: 81,
		Env: map[string]string{"A": "1", "OLD": "x"}}
	old := env.NodeOf("ann", "hello", was, 0, templates["sql:1"])
	old.Container.Generation, old.Container.Image.Digest = 5, "sha256:of then"
	is := was
	is.Template, is.Env, is.Cloudlets.Dynamic = "web:2", map[string]string{"A": "2"}, 8
	is.Volumes, is.Redeploy = []operator.VolumeSpec{{Path: "/srv"}}, &operator.Redeployed{Number: 1}
	now := env.NodeOf("ann", "hello", is, 0, templates["web:2"])
	now.Container.Generation, now.Container.Boot, now.Container.Formers = 6, 3, []host.Former{{Generation: 5}}
	want := is
	want.Template, want.Redeploy = "sql:1", &operator.Redeployed{Number: 2, Back: true, Volumes: true}

	n := Placed{CTID: 100, Of: is, Node: now, Former: &Placed{CTID: 100, Of: was, Node: old}}
	got, changes, p := Revise(n, want, templates)
	c := got.Container
	if p != nil || c.Image.Digest != "sha256:of then" || c.Generation != 7 || c.Boot != 3 || got.HTTP != 81 ||
		c.Begins == nil || *c.Begins != (host.Begins{Generation: 5, Volumes: true}) || c.Limits != now.Container.Limits {
		t.Errorf("got %+v, %v", got, p)
	}
	if vars := c.Process.Env; !maps.Equal(vars, map[string]string{"A": "2"}) || !slices.Equal(c.Process.Argv, []string{"/sql"}) {
		t.Errorf("its process is %+v", c.Process)
	}
	var volumes []string
	for _, v := range c.Volumes {
		volumes = append(volumes, v.Path)
	}
	if !slices.Equal(volumes, []string{"/srv", "/data"}) {
		t.Errorf("its volumes are %v", volumes)
	}
	said := func(changes []Change) (text string) {
		for _, ch := range changes {
			text += ch.Detail + "\n"
		}
		return text
	}
	if text := said(changes); !strings.Contains(text, "its own files and its volumes since the redeploy goes") {
		t.Errorf("it says %s", text)
	}

	n.CTID = 101 // made since
	got, changes, p = Revise(n, want, templates)
	if c := got.Container; p != nil || c.Image.Digest != "sha256:of then" || c.Begins != nil || c.Generation != 7 {
		t.Errorf("one that was made since: %+v, %v", got, p)
	}
	if text := said(changes); !strings.Contains(text, "made after the redeploy") {
		t.Errorf("of one that was made since it says %s", text)
	}

	// The next redeploy begins with its image.
	next := want
	next.Redeploy = &operator.Redeployed{Number: 3}
	got.Container.Begins = &host.Begins{Generation: 5}
	got, _, p = Revise(Placed{CTID: 100, Of: want, Node: got}, next, templates)
	if p != nil || got.Container.Begins != nil || got.Container.Image.Digest != "sha256:3" {
		t.Errorf("the next redeploy: %+v, %v", got, p)
	}
}
