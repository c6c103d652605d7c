package jem

import (
	"strings"
	"testing"
)

func TestDecodeTemplate(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":1}`: "",
		`{"version":1,"name":"nginx","health":[{"http":"http://127.0.0.1/"}],"keep":["/etc/nginx","/var/www/"],"later":1}`: "",
		`{"version":1,"health":[{"tcp":"127.0.0.1:5432"},{"exec":["/bin/true"],"user":"postgres"}]}`:                       "",
		`{"version":1,"setmem":"tell"}`: "",
		`{"version":1,"setmem":"x"}`:    `setmem: "x" is neither tell nor restart`,
		`{}`:                            `"version" is missing`,
		`{"version":2}`:                 "version 2: want 1",
		`[]`:                            "JSON array",
		`{"version":1,"health":[{}]}`:   "check 1: want exactly one",
		`{"version":1,"health":[{"tcp":"a:1","http":"http://a/"}]}`:                          "exactly one",
		`{"version":1,"health":[{"tcp":"80"}]}`:                                              "want host:port",
		`{"version":1,"health":[{"tcp":"a:99999"}]}`:                                         "want host:port",
		`{"version":1,"health":[{"http":"https://a/"}]}`:                                     "want http://",
		`{"version":1,"health":[{"http":"http://a/ b"}]}`:                                    "want http://",
		`{"version":1,"health":[{"exec":["true"]}]}`:                                         "no absolute path",
		`{"version":1,"health":[{"tcp":"a:1","user":"x"}]}`:                                  "goes only with exec",
		`{"version":1,"keep":["etc"]}`:                                                       "want an absolute path",
		`{"version":1,"keep":["/usr/bin/x"]}`:                                                "/usr/bin is the image's",
		`{"version":1,"health":[` + strings.Repeat(`{"tcp":"a:1"},`, 20) + `{"tcp":"a:1"}]}`: "at most 20",
		`{"version":1,"name":"` + strings.Repeat("x", MaxTemplate) + `"}`:                    "bytes, at most",
	} {
		_, err := DecodeTemplate([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, want %q", text, err, want)
		}
	}
}

func TestValidKeep(t *testing.T) {
	for p, ok := range map[string]bool{"/etc/nginx": true, "/var/www/": true, "/home": true, "/usr/local/etc": true, "/opt/app.d/x": true,
		"/usr/libexec2": true, "": false, "/": false, "//": false, "/etc": false, "/etc/": false, "/etc/../root": false, "/a//b": false,
		"/./a": false, "/proc/1": false, "/lib/x": false, "/usr": false, "/usr/lib/x": false, "/run/hardnode/jem": false, "relative": false,
		"/var/lib/hardnode/jem": false, "/a\nb": false, "/" + strings.Repeat("x", 1000): false, "/var/lib/postgresql": true} {
		if err := ValidKeep(p); (err == nil) != ok {
			t.Errorf("%.60q: %v", p, err)
		}
	}
}
