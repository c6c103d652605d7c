package contract

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want, err string }{
		{"a", "[a] map[]", ""},
		{"a b --tail 5 --force", "[a b] map[force:yes tail:5]", ""},
		{"--tail --force a", "[a] map[tail:--force]", ""},
		{"a -", "[a -] map[]", ""},
		{"", "", "0 arguments are given, want 1 to 2"},
		{"a b c", "", "3 arguments"},
		{"a --tail", "", `option "--tail": needs a value`},
		{"a --other", "", `option "--other": is not known`},
		{"a --", "", `option "--": is not known`},
		{"a -x", "", `option "-x": is not known`},
		{"a\x00", "", "zero byte"},
	} {
		call := &Call{Args: strings.Fields(c.args), module: Module{Name: "m"}, action: Action{Name: "act", Args: "A"}}
		a, err := call.Parse(1, 2, "tail N", "force")
		if got := fmt.Sprint(a.Rest, " ", a.options); err == nil && strings.ReplaceAll(got, "] ", "] ") != c.want ||
			(err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %s %v", c.args, got, err)
		}
	}
}

func TestPath(t *testing.T) {
	for p, want := range map[string]string{"/etc//nginx/": "/etc/nginx", "/": "/", "etc": "", "/etc/../root": "", "/proc/1/mem": "",
		"/sys":     "",
		"/dev/sda": "", "/run/hardnode/jem": "", "/process": "/process"} {
		got, err := Path(p)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", p, got, err)
		}
	}
}

func TestGiven(t *testing.T) {
	for text, ok := range map[string]bool{"": false, "1234": true, "12345": false} {
		b, err := (&Call{In: strings.NewReader(text)}).Given(4)
		if (err == nil) != ok || ok && string(b) != text {
			t.Errorf("%q: %q %v", text, b, err)
		}
	}
}
