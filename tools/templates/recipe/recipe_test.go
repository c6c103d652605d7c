package recipe

import (
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const good = `version: 1
name: db
summary: a database
process:
  entrypoint: [start]
  cmd: [-a]
  env: [A=1]
  workingDir: /srv
  user: db
  stopSignal: SIGINT
  stopAfter: 60
  reaper: true
profile: app
tcp: [5432]
volumes: [{path: /var/lib/db, nodatacow: true}, {path: /backup}]
jem:
  health: [{exec: [/usr/bin/ask], user: db}]
  keep: [/etc/db]
debian:
  versionOf: db-15
  limitMiB: 60
  packages: {db-15: [usr/bin/*, usr/share/db/**]}
  libraries: [libc6]
  without: [usr/share/db/doc/*]
  links: {bin: usr/bin}
  busybox: [sh]
  directories: [tmp]
  sticky: [tmp]
  owned: {var/lib/db: {uid: 7, gid: 7, mode: "0700"}}
`

// TestRead: a recipe that is right is read, and each field that is wrong is named with what it should be.
func TestRead(t *testing.T) {
	if _, err := Read("t.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	whole := good[:strings.Index(good, "debian:")] +
		"debian: {versionOf: systemd, limitMiB: 9, whole: {suite: bookworm, packages: [systemd]}}\n"
	if _, err := Read("t.yaml", []byte(whole)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown field", "summary:", "colour: red\nsummary:", "t.yaml:3:1"},
		{"twice", "summary:", "name: a\nsummary:", "t.yaml:3"},
		{"no document", good, "", "t.yaml"},
		{"version", "version: 1", "version: 2", "version: 2 is not known, want 1"},
		{"name with tag", "name: db", "name: db:1", "without tag and slash"},
		{"no name", "name: db", "name: \"\"", "name:"},
		{"nothing to run", "  entrypoint: [start]\n  cmd: [-a]\n", "", "name an entrypoint or cmd"},
		{"empty argument", "cmd: [-a]", "cmd: [\"\"]", "an empty argument"},
		{"environment", "env: [A=1]", "env: [A]", "want NAME=value"},
		{"working directory", "workingDir: /srv", "workingDir: srv", "want an absolute path"},
		{"signal", "SIGINT", "SIGSTOPP", "is no signal"},
		{"stop after", "stopAfter: 60", "stopAfter: 4000", "want 1 to 3600 seconds"},
		{"profile", "profile: app", "profile: full", "neither app nor system"},
		{"port 0", "tcp: [5432]", "tcp: [0]", "0 is no port"},
		{"port too large", "tcp: [5432]", "tcp: [70000]", "t.yaml:"},
		{"check without HTTP", "tcp: [5432]", "check: {path: /}", "name the port"},
		{"check and none", "tcp: [5432]", "http: 80\ncheck: {path: /, none: true}", "want one of the two"},
		{"check path", "tcp: [5432]", "http: 80\ncheck: {path: a b}", "want an absolute path"},
		{"volume", "path: /backup", "path: backup", "want an absolute, clean path"},
		{"volume of all", "path: /backup", "path: /", "want an absolute, clean path"},
		{"volume up", "path: /backup", "path: /a/../b", "want an absolute, clean path"},
		{"volume twice", "path: /backup", "path: /var/lib/db", "is there twice"},
		{"health of two kinds", "user: db}", "tcp: \"a:1\"}", "exactly one of http, tcp and exec"},
		{"kept path of the image", "keep: [/etc/db]", "keep: [/usr/bin/x]", "the image's or the host's own"},
		{"limit", "limitMiB: 60", "limitMiB: 0", "limitMiB: want a positive number"},
		{"version of", "versionOf: db-15", "versionOf: x-1", "none of the packages"},
		{"package twice", "libraries: [libc6]", "libraries: [db-15]", "stands in packages too"},
		{"option as package", "libraries: [libc6]", "libraries: [-oDir=x]", "no name of a Debian package"},
		{"path out", "usr/bin/*", "../etc/passwd", "clean path without a leading slash"},
		{"absolute path", "directories: [tmp]", "directories: [/tmp]", "clean path without a leading slash"},
		{"pattern", "usr/bin/*", "\"usr/bin/[\"", "syntax error in pattern"},
		{"pattern below", "usr/share/db/**", "\"usr/[/**\"", "syntax error in pattern"},
		{"mode", "\"0700\"", "\"0799\"", "octal mode"},
		{"owner", "uid: 7", "uid: 70000", "uid and gid from 0 to 65535"},
		{"whole beside packages", "  limitMiB: 60",
			"  limitMiB: 60\n  whole: {suite: bookworm, packages: [db-15]}", "don't go with it"},
	} {
		if n := strings.Count(good, c.old); n == 0 {
			t.Fatalf("%s: %q is not in the recipe", c.name, c.old)
		}
		_, err := Read("t.yaml", []byte(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "t.yaml") {
			t.Errorf("%s: got %v, want t.yaml and %q", c.name, err, c.want)
		}
	}
	if _, err := Read("t.yaml", []byte(strings.Replace(whole, "bookworm", "../x", 1))); err == nil {
		t.Error("a suite that is a path was taken")
	}
}

// TestOnto: what the recipe says counts, what it doesn't say stays as the image has it.
func TestOnto(t *testing.T) {
	r, err := Read("t.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	got := r.Onto(v1.Config{Entrypoint: []string{"old"}, Cmd: []string{"old"}, Env: []string{"A=0", "B=2"},
		Labels: map[string]string{"x": "y"}})
	want := v1.Config{Entrypoint: []string{"start"}, Cmd: []string{"-a"}, Env: []string{"B=2", "A=1"}, WorkingDir: "/srv", User: "db",
		StopSignal: "SIGINT", ExposedPorts: map[string]struct{}{"5432/tcp": {}},
		Volumes: map[string]struct{}{"/var/lib/db": {}, "/backup": {}},
		Labels: map[string]string{"x": "y", "io.hardnode.check-port": "5432", "io.hardnode.profile": "app", "io.hardnode.reaper": "true",
			"io.hardnode.stop-after": "60", "io.hardnode.nodatacow": "/var/lib/db", "org.opencontainers.image.title": "db",
			"org.opencontainers.image.description": "a database"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	old := v1.Config{Entrypoint: []string{"a"}, Cmd: []string{"b"}, Env: []string{"A=1"}, WorkingDir: "/w", User: "u", StopSignal: "SIGHUP",
		Labels: map[string]string{"io.hardnode.check-path": "/x", "io.hardnode.http-port": "81"}}
	r, err = Read("t.yaml", []byte("version: 1\nname: own\nhttp: 80\ncheck: {none: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want = old
	want.ExposedPorts = map[string]struct{}{"80/tcp": {}}
	want.Labels = map[string]string{"io.hardnode.http-port": "80", "org.opencontainers.image.title": "own"}
	if got := r.Onto(old); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if len(old.Labels) != 2 {
		t.Error("the image's own configuration was changed")
	}
}

// TestBase: what the base has is added, what the recipe says itself counts more, and a base that is wrong is told.
func TestBase(t *testing.T) {
	base, err := ReadBase("base.yaml", []byte("packages: {box: [bin/box], db-15: [usr/sbin/*]}\nlinks: {bin: usr/bin}\nbusybox: [sh, ls]\n"+
		"directories: [tmp, dev]\nsticky: [tmp]\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read("t.yaml", []byte(strings.Replace(good, "debian:\n", "debian:\n  base: ../base.yaml\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Debian.On(base)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Packages["db-15"][0]; got != "usr/bin/*" || len(d.Packages) != 2 || strings.Join(d.Busybox, " ") != "ls sh" ||
		strings.Join(d.Directories, " ") != "dev tmp" || len(r.Debian.Packages) != 1 {
		t.Errorf("got %+v", d)
	}
	for _, doc := range []string{"versionOf: box\npackages: {box: [a]}\n", "packages: {-o: [a]}\n", "packages: {box: [/a]}\n",
		"colour: red\n", "packages: {}\n", "whole: {suite: bookworm}\n"} {
		if _, err := ReadBase("base.yaml", []byte(doc)); err == nil || !strings.HasPrefix(err.Error(), "base.yaml") {
			t.Errorf("%q: got %v, want an error with the file's name", doc, err)
		}
	}
	if _, err := Read("t.yaml", []byte(strings.Replace(good, "debian:\n", "debian:\n  base: /etc/passwd\n", 1))); err == nil {
		t.Error("a base from anywhere was taken")
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"usr/bin/*", "usr/bin/a", true}, {"usr/bin/*", "usr/bin/a/b", false}, {"usr/**", "usr/a", true}, {"usr/**", "usr/a/b/c", true},
		{"usr/**", "usr", false}, {"usr/**", "usrx/a", false}, {"usr/*/lib/**", "usr/x/lib/a/b", true},
		{"usr/*/lib/**", "usr/x/y/lib/a", false},
	} {
		if got, err := Match(c.pattern, c.name); got != c.want || err != nil {
			t.Errorf("%q, %q: got %v, %v", c.pattern, c.name, got, err)
		}
	}
}
