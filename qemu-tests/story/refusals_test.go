//go:build qemu

package story

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// refusals: every bad request names the thing, the reason and the next step, and nothing of it stays.
func refusals(s story) {
	s.settled("hello")
	before := s.counts()
	spec := func(name, rest string) string {
		return "version: 1\nname: " + name +
			"\nlayers:\n  - name: cp\n    template: nginx\n    nodes: 1\n    cloudlets: {reserved: 1, dynamic: 2}\n" + rest
	}
	for _, row := range []struct {
		name, doc string
		want      []string // all of these are in the answer
	}{
		{"unknown field", spec("bad1", "colour: red\n"), []string{"colour", "8:1"}},
		{"duplicate field", spec("bad2", "name: bad3\n"), []string{"name", "8:1"}},
		{"name taken", spec("hello", ""), []string{"hello", "next:"}},
		{"bad name", spec("Bad_Name", ""), []string{"Bad_Name"}},
		{"unknown template", strings.Replace(spec("bad4", ""), "nginx", "no-such-template", 1), []string{"no-such-template", "next:"}},
		{"more cloudlets than any host has",
			strings.Replace(spec("bad5", ""), "reserved: 1, dynamic: 2", "reserved: 4000, dynamic: 4000", 1), []string{"4000", "next:"}},
		{"no free host", strings.Replace(strings.Replace(spec("bad6", ""), "nodes: 1", "nodes: 100", 1), "reserved: 1", "reserved: 2", 1),
			[]string{"next:"}},
	} {
		file := filepath.Join(s.TempDir(), "bad.yaml")
		if err := os.WriteFile(file, []byte(row.doc), 0o600); err != nil {
			s.Fatal(err)
		}
		out, err := s.HNCTL(s.Context(), "env", "create", "-f", file)
		if err == nil {
			s.Errorf("%s: was accepted: %s", row.name, out)
			continue
		}
		for _, w := range row.want {
			if !strings.Contains(err.Error(), w) {
				s.Errorf("%s: the answer doesn't say %q: %v", row.name, w, err)
			}
		}
	}
	body := func(name, template string, nodes, reserved, dynamic int) operator.EnvironmentSpec {
		return operator.EnvironmentSpec{Version: 1, Name: wire.EnvName(name),
			Layers: []operator.LayerSpec{{Name: "cp", Template: wire.TemplateName(template), Nodes: nodes,
				Cloudlets: wire.Cloudlets{Reserved: reserved, Dynamic: dynamic}}}}
	}
	for _, row := range []struct {
		name   string
		body   any
		code   operator.Code
		object string
	}{
		{"unknown field", map[string]any{"version": 1, "name": "bad1", "colour": "red", "layers": body("bad1", "nginx", 1, 1, 2).Layers},
			operator.Invalid, "colour"},
		{"name taken", body("hello", "nginx", 1, 1, 2), operator.Conflict, "environments/hello"},
		{"bad name", body("Bad_Name", "nginx", 1, 1, 2), operator.Invalid, "name"},
		{"unknown template", body("bad4", "no-such-template", 1, 1, 2), operator.NotFound, "layers[0].template"},
		{"more cloudlets than any host has", body("bad5", "nginx", 1, 4000, 4000), operator.Exhausted, "layers[0]"},
		{"no free host", body("bad6", "nginx", 100, 2, 2), operator.Exhausted, ""},
	} {
		if p, err := s.Refusal(s.Context(), "POST", "/environments", row.body); err != nil || p.Code != row.code ||
			!strings.Contains(p.Object, row.object) {
			s.Errorf("%s: the API answers %+v, %v, want code %s about %q", row.name, p, err, row.code, row.object)
		}
	}
	if list := s.hnctl("env", "list", "-o", "name"); strings.Contains(list, "bad") {
		s.Errorf("a refused environment is in the list:\n%s", list)
	}
	s.noMoreThan(before)
}

// refusedHosts: a machine that may not join says on its console what is wrong and what to do, and the orchestrator doesn't list it. (What a
// machine finds wrong by itself, its configuration or its disk, is tried without a cluster: qemu-tests/boot.)
func refusedHosts(s story) {
	same := func(doc string) string { return doc }
	edit := func(pattern, with string) func(string) string {
		re := regexp.MustCompile(pattern)
		return func(doc string) string {
			out := re.ReplaceAllString(doc, with)
			if out == doc {
				s.Errorf("pattern %q doesn't change the configuration", pattern)
			}
			return out
		}
	}
	const first, spare = 1, 3
	var late operator.JoinToken
	if err := s.Get(s.Context(), &late, "host", "token", "--name", "late", "--for", "1s"); err != nil {
		s.Fatal(err)
	}
	rows := []struct {
		name string
		like int
		edit func(string) string
		want string // on the console
	}{
		{"used-token", first, same, `! join token .* was used by host host-1 at .* -> .*new one`},
		{"expired-token", spare, edit(`(?m)^  token: .*$`, "  token: "+late.Text), `! join token .* expired at .* -> .*new one`},
		{"wrong-pin", spare, edit(`caPin: sha256:[0-9a-f]{8}`, "caPin: sha256:00000000"),
			`! join.caPin: check CA pin: want root CA sha256:00000000.*compare`},
		{"clock-ahead", spare, same,
			`! join.endpoints: certificate of .* has expired: it ended at .*, the clock here says .* -> set this machine's clock`},
	}
	for some := range slices.Chunk(rows, 2) { // more at once would starve the cluster on a small machine
		var up []*cluster.Machine
		for _, row := range some {
			var extra []string
			if row.name == "clock-ahead" {
				extra = rtc(2 * 365 * 24 * time.Hour)
			}
			m, err := s.Stranger(row.name, row.like, row.edit, extra...)
			if err != nil {
				s.Fatal(err)
			}
			up = append(up, m)
		}
		ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute*harness.Scale())
		for i, row := range some {
			line, err := up[i].VM().WaitFor(ctx, row.want)
			if err != nil {
				s.Errorf("%s: %v", row.name, err)
			} else {
				s.figure("%s: %s", row.name, strings.TrimSpace(line[0]))
			}
		}
		cancel()
		for _, m := range up {
			m.Kill()
		}
	}
	hosts, err := s.HostList(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range hosts {
		for _, row := range rows {
			if h.Name == row.name {
				s.Errorf("%s is listed: %+v", row.name, h)
			}
		}
	}
	if len(hosts) != 3 {
		s.Errorf("%d hosts are listed, want infra-1, host-1 and host-2: %+v", len(hosts), hosts)
	}
}
