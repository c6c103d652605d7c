package document_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
)

// A spec that is written is read as the same one, whatever its texts are.
func TestWrittenIsRead(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "no", "0022", "1.10", "null", "~", "a: b", "- a", "#a", "a #b", "'",
		`"`, "\\", "a\nb\n", " a ", "\ta", "a:", "é", "[a]", "{a}", "*a", "&a", "!!str", "%", "@", "?", "|", ">", "2026-11-28", "0x1f", "<<", "=",
		"\u2028", "\x7f", "\x01", "🙂", "http://a.example/?a=b#c"}))
	rapid.Check(t, func(t *rapid.T) {
		s := operator.EnvironmentSpec{Version: 1, Name: "hello"}
		for i := range rapid.IntRange(1, 3).Draw(t, "layers") {
			l := operator.LayerSpec{Name: wire.LayerName([]string{"cp", "bl", "no"}[i]), Template: wire.TemplateName(
				rapid.SampledFrom([]string{"nginx", "nginx:1.22", "a/b:1", "1.10", "0022:5"}).Draw(t, "template")),
				Nodes:     rapid.IntRange(0, 3).Draw(t, "nodes"),
				Cloudlets: wire.Cloudlets{Reserved: rapid.IntRange(0, 2).Draw(t, "reserved"), Dynamic: 4},
				DiskMiB:   rapid.SampledFrom([]int64{0, 64}).Draw(t, "disk"), HTTP: rapid.Uint16().Draw(t, "http"),
				Profile: text.Draw(t, "profile")}
			vars := rapid.MapOfN(text, text, 0, 4).Draw(t, "env")
			if delete(vars, ""); len(vars) > 0 {
				l.Env = vars
			}
			if rapid.Bool().Draw(t, "check") {
				l.Check = &operator.CheckSpec{Type: text.Draw(t, "type"), Path: text.Draw(t, "path"), Port: rapid.Uint16().Draw(t, "port")}
			}
			for range rapid.IntRange(0, 2).Draw(t, "volumes") {
				l.Volumes = append(l.Volumes, operator.VolumeSpec{Path: text.Draw(t, "path"), NoDataCOW: rapid.Bool().Draw(t, "nodatacow")})
			}
			s.Layers = append(s.Layers, l)
		}
		doc := document.Write(s)
		got, _, _, err := operator.DecodeEnvironment("x", doc)
		if err != nil {
			t.Fatalf("%s\n%v", doc, err)
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("%s\nread as\n%+v\nwant\n%+v", doc, got, s)
		}
	})
}

func TestWritten(t *testing.T) {
	s := operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx:1.22", Nodes: 2,
		Cloudlets: wire.Cloudlets{Dynamic: 4}, Env: map[string]string{"B": "yes", "A": "a b"}, Check: &operator.CheckSpec{Type: "tcp"},
		Volumes: []operator.VolumeSpec{{Path: "/data"}, {Path: "/srv", DiskMiB: 64}}}}}
	want := `version: 1
name: hello
layers:
  - name: cp
    template: nginx:1.22
    nodes: 2
    cloudlets:
      reserved: 0
      dynamic: 4
    env:
      A: "a b"
      B: "yes"
    check:
      type: tcp
    volumes:
      - path: /data
      - path: /srv
        diskMiB: 64
`
	if got := string(document.Write(s)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
