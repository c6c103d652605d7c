package document_test

import (
	"fmt"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
)

// A text field takes what is written: which type YAML gives a plain scalar is nobody's business.
func TestScalarsAsWritten(t *testing.T) {
	for written, want := range map[string]string{
		"0022": "0022", "0123": "0123", "1.10": "1.10", "123456789.0": "123456789.0", "1_000": "1_000", "0x1F": "0x1F", "0o17": "0o17",
		"08":  "08",
		"1e3": "1e3", "-5": "-5", "+5": "+5", "yes": "yes", "no": "no", "on": "on", "TRUE": "TRUE", "false": "false", "null": "null",
		"~": "~", ".inf": ".inf",
		".nan": ".nan", "2020-01-01": "2020-01-01", "1:30": "1:30", `""`: "", `'it''s'`: "it's", `"a\tb"`: "a\tb", "!!str 5": "5",
		"a # no": "a", "a#b": "a#b",
		"http://x:80/": "http://x:80/", "|\n        two\n        lines": "two\nlines\n", ">-\n        fold\n        ed": "fold ed",
		"|\n        a\n        \tb\n": "a\n\tb\n",
	} {
		s, _, _, err := operator.DecodeEnvironment("f", []byte(strings.Replace(env, `A: "1"`, "A: "+written, 1)))
		if err != nil || strings.TrimSuffix(s.Layers[0].Env["A"], "\n") != strings.TrimSuffix(want, "\n") {
			t.Errorf("%s: got %q, %v, want %q", written, s.Layers[0].Env, err, want)
		}
	}
	s, _, _, err := operator.DecodeEnvironment("f", []byte(strings.Replace(env, "template: nginx", "template: 1.10", 1)))
	if err != nil || s.Layers[0].Template != "1.10" {
		t.Errorf("template 1.10: got %q, %v", s.Layers[0].Template, err)
	}
}

func TestNumbers(t *testing.T) {
	for written, want := range map[string]string{
		"2.9": "is 2.9, want a whole number", "010": "leading zeros", "0x10": "decimal digits", "1e3": "want a whole number",
		"1_0": "decimal digits", "+2": "decimal digits",
		`"2"`: "leave the quotes out", "two": "is two, want a whole number", "": "is required", "~": "want a whole number",
		"[2]":    "is a list, want a whole number",
		"{a: 1}": "is a map, want a whole number", "true": "want a whole number", "99999999999999999999": "too large",
		".inf": "want a whole number",
	} {
		_, _, _, err := operator.DecodeEnvironment("f", []byte(strings.Replace(env, "nodes: 2", "nodes: "+written, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), "f:6:") || !strings.Contains(err.Error(), "layers[0].nodes: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("nodes: %s: got %v, want %q in line 6", written, err, want)
		}
	}
}

// Whoever makes five mistakes is told five, and no Go type.
func TestAllMistakesAtOnce(t *testing.T) {
	_, src, warnings, err := operator.DecodeEnvironment("f.yaml", []byte(`version: 2
nmae: hello
layers:
  - name: sqbdl
    template: Not/OK
    nodes: 2.9
    nodes: 3
    cloudlets: {reserved: 1.5}
    env: [A]
  - name: c.p
    cloudlets:
    diskMiB: many
`))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`f.yaml:1:1: name: is required`,
		`f.yaml:1:1: version: 2 is not known, write version: 1`,
		`f.yaml:2:1: unknown field "nmae"; did you mean "name"?`,
		`f.yaml:5:5: layers[0].template: template name "Not/OK": use a name such as nginx or nginx:1.22`,
		`f.yaml:6:12: layers[0].nodes: is 2.9, want a whole number`,
		`f.yaml:7:5: layers[0].nodes: is there twice; the first is in line 6`,
		`f.yaml:8:16: layers[0].cloudlets.dynamic: is required`,
		`f.yaml:8:27: layers[0].cloudlets.reserved: is 1.5, want a whole number`,
		`f.yaml:9:10: layers[0].env: is a list, want a map`,
		`f.yaml:10:5: layers[1].template: is required`,
		`f.yaml:10:5: layers[1].nodes: is required`,
		`f.yaml:10:5: layers[1].name: layer name "c.p": use lower-case letters, digits and hyphens, starting with a letter`,
		`f.yaml:11:5: layers[1].cloudlets: is required: it has no value`,
		`f.yaml:12:14: layers[1].diskMiB: is many, want a whole number`,
	}
	if got := err.Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if len(warnings) != 1 || warnings[0] != `f.yaml:4:5: layers[0].name: "sqbdl" is a name of your own; did you mean "sqldb"?` {
		t.Errorf("warnings %q", warnings)
	}
	if f := src.Fault("layers[0].cloudlets.dynamic", "is too much"); f.Line != 8 || f.Column != 5 {
		t.Errorf("what the server finds is placed at %d:%d", f.Line, f.Column)
	}
}

func TestFormsOfYAML(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{ // want "" is: read as env is
		{"byte order mark", "\xef\xbb\xbf" + env, ""},
		{"CR LF", strings.ReplaceAll(env, "\n", "\r\n"), ""},
		{"document marks", "---\n" + env + "...\n", ""},
		{"comments", "# first\n" + env + "# last\n", ""},
		{"JSON", `{"version":1,"name":"hello","layers":[{"name":"cp","template":"nginx","nodes":2,"cloudlets":{"reserved":1,"dynamic":4},"env":{"A":"1"}}]}`, ""},
		{"JSON with tabs", "\n{\n\t\"version\": 1,\n\t\"name\": \"hello\",\n\t\"layers\": [\n\t\t{\"name\": \"cp\", \"template\": " +
			"\"nginx\", \"nodes\": 2,\n\t\t \"cloudlets\": {\"reserved\": 1, \"dynamic\": 4},\n\t\t \"env\": {\"A\": \"1\"}}\n\t]\n}\n",
			""},
		{"a directive", "%YAML 1.2\n---\n" + env, ""},
		{"the tag of a text", strings.Replace(env, "A: \"1\"", "A: !!str 1", 1), ""},
		{"an anchor and its alias", strings.Replace(strings.Replace(env, "nodes: 2", "nodes: &n 2", 1), "dynamic: 4", "dynamic: *n", 1),
			""},
		{"a merge key", strings.Replace(env, "    nodes: 2\n", "    <<: {nodes: 2, name: ignored}\n", 1), ""},
		{"UTF-16", "\xff\xfev\x00", "UTF-16: save it as UTF-8"},
		{"Latin-1", strings.Replace(env, "hello", "h\xe9llo", 1), "f:2:1: holds bytes that are no UTF-8"},
		{"a zero byte", strings.Replace(env, "hello", "he\x00o", 1), "f:2:9: holds a zero byte"},
		{"tab", strings.Replace(env, "    nodes", "\tnodes", 1), "f:6:1: is indented with a tab"},
		{"comments only", "# nothing\n", "is empty"},
		{"two documents", env + "---\n" + env, "f:11:1: holds more than one document"},
		{"an alias of nothing", strings.Replace(env, "nodes: 2", "nodes: *n", 1), "no anchor &n"},
		{"an alias inside itself", strings.Replace(env, "    env:\n      A: \"1\"", "    env: &e\n      A: *e", 1),
			"layers[0].env.A: is a map, want a text"},
		{"a tag", strings.Replace(env, "nginx", "!!python/object x", 1), "the tag !!python/object is not known"},
		{"the tag of a text where a number belongs", strings.Replace(env, "nodes: 2", "nodes: !!str 2", 1),
			`is the text "2", want a whole number: leave the quotes out`},
		{"a list in place of the document", "- a\n", "=f:1:1: is a list, want a map"},
		{"a word in place of the document", "hello\n", "=f:1:1: is hello, want a map"},
		{"a map as key", strings.Replace(env, "A: \"1\"", "{a: b}: c", 1), "f:9:"},
		{"a variable without value", strings.Replace(env, "A: \"1\"", "A:", 1),
			`f:9:10: layers[0].env.A: has no value; write "" for an empty text`},
		{"a text where a list belongs", "version: 1\nname: hello\nlayers: cp\n", "f:3:9: layers: is cp, want a list"},
		{"nothing where a list belongs", "version: 1\nname: hello\nlayers:\n", "f:3:1: layers: is required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, _, err := operator.DecodeEnvironment("f", []byte(c.doc))
			whole, alone := strings.CutPrefix(c.want, "=")
			switch {
			case alone && (err == nil || err.Error() != whole):
				t.Errorf("got %v, want %q and nothing else", err, whole)
			case !alone && c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			case c.want == "" && (err != nil || s.Name != "hello" || s.Layers[0].Nodes != 2 || s.Layers[0].Env["A"] != "1"):
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

// Ten aliases of ten aliases of ten: what they stand for is never built.
func TestAliasBomb(t *testing.T) {
	type bomb struct {
		A, B, C, D, E, F, G [][][][][][][]string
	}
	src := "a: &a [[[[[[[x]]]]]]]\n"
	for i, to := range []string{"b", "c", "d", "e", "f", "g"} {
		from := string("abcdef"[i])
		src += fmt.Sprintf("%s: &%s [%s]\n", to, to, strings.TrimSuffix(strings.Repeat("*"+from+",", 60), ","))
	}
	var out bomb
	if err := document.Read("bomb", []byte(src), &out); err == nil {
		t.Error("a bomb was accepted")
	}
	type flat struct {
		A []string
		B [][]string
		C [][][]string
		D [][][][]string
	}
	var f flat
	list := func(name string) string { return strings.TrimSuffix(strings.Repeat("*"+name+",", 100), ",") }
	src = "a: &a [" + strings.TrimSuffix(strings.Repeat("x,", 100), ",") + "]\nb: &b [" + list("a") + "]\nc: &c [" + list("b") + "]\nd: [" +
		list("c") + "]\n"
	if err := document.Read("bomb", []byte(src), &f); err == nil || !strings.Contains(err.Error(), "aliases stand for more than") {
		t.Errorf("got %.300v", err)
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"sqldb": "sqldb", "sqbdl": "sqldb", "sqldbs": "sqldb", "chace": "cache", "storge": "storage",
		"web": "", "b": "", "api": "", "nosql": "nosqldb", "builds": "build"} {
		if got := document.Nearest(name, operator.Roles); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", name, got, want)
		}
	}
}

// Documents that would make the parser recurse or work without an end are refused before it sees them.
func TestHostileShapes(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"brackets over lines": {"a: " + strings.Repeat("[\n", 9000), "levels deep"},
		"braces over lines":   {"a: " + strings.Repeat("{a: \n", 9000), "levels deep"},
		"brackets in a line":  {"a: " + strings.Repeat("[", 9000), "levels deep"},
		"too many lines":      {strings.Repeat("a: 1\n", 150_000), "150000 lines"},
		"as many as may be":   {strings.Repeat("a: 1\n", 9_000), "is there twice"},
		"brackets one by one": {"version: 1\nx: [" + strings.Repeat("[],\n", 5000) + "]\n", `unknown field "x"`},
	} {
		if _, _, _, err := operator.DecodeEnvironment("f", []byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want %q", name, err, c.want)
		}
	}
}
