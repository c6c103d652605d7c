//go:build guest

package container

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
)

// TestWorkingDirectoryAndGroups: a working directory that no layer has is made for the program's user, who has its groups.
func TestWorkingDirectoryAndGroups(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 320, "pwd > /tmp/cwd; id -G > /tmp/groups; echo $HOME > /tmp/home; touch mine; "+forever)
	s.Process.Cwd, s.Process.UID, s.Process.GID, s.Process.Groups = "/srv/app/deep", 33, 34, []uint32{50, 60}
	mustStart(t, r, s)
	// the program writes "mine" last: with it there, the rest is there
	if got, _ := sh(t, r, 320, "for i in $(seq 60); do test -e /srv/app/deep/mine && echo there && break; sleep 1; done"); got != "there" {
		t.Fatal("the program wrote nothing in its working directory within a minute")
	}
	for script, want := range map[string]string{
		"cat /tmp/cwd":                   "/srv/app/deep",
		"stat -c %u:%g:%a /srv/app/deep": "33:34:755",
		"stat -c %u:%g /srv/app":         "0:0",
		"cat /tmp/groups":                "34 50 60",
		"cat /tmp/home":                  "/",
	} {
		if got, _ := sh(t, r, 320, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	var out bytes.Buffer
	e, err := r.Exec(deadline(t), 320, host.ExecSpec{Argv: []string{"sh", "-c", "id -u; id -G; echo $HOME"}, User: "www"}, Stdio{Out: &out})
	if err != nil || e.Code != 0 || out.String() != "33\n33\n/\n" {
		t.Errorf("as www: %q %+v %v", out.String(), e, err)
	}
	if _, err := r.Exec(deadline(t), 320, host.ExecSpec{Argv: []string{"true"}, User: "nosuch"}, Stdio{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("as nobody known: %v", err)
	}
	for _, cwd := range []string{"/srv/one", "/srv/one/x"} { // a file of the image
		s := box(t, 321, forever)
		s.Process.Cwd = cwd
		_, err := r.Start(deadline(t), s)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "/srv/one") || strings.Contains(err.Error(), "0x") {
			t.Errorf("working directory %s: %v", cwd, err)
		}
		r.Remove(deadline(t), 321, false)
	}
}

// TestImageWithOddPlaces: what can't be mounted on is said in words; /run and /etc may be links inside the image, as some builders make.
func TestImageWithOddPlaces(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for _, name := range []string{"dev", "proc", "sys"} {
		s := box(t, 322, forever)
		s.ImagePath, s.Image.Digest = image(t, "link-"+name)
		_, err := r.Start(deadline(t), s)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "the image's /"+name+" must be a directory") || strings.Contains(err.Error(), "0x") {
			t.Errorf("image with /%s a link: %v", name, err)
		}
		r.Remove(deadline(t), 322, false)
	}
	for _, name := range []string{"run", "etc"} {
		before := worldOf(t)
		s := box(t, 323, forever)
		s.ImagePath, s.Image.Digest = image(t, "link-"+name)
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Errorf("image with /%s a link: %v", name, err)
			continue
		}
		if got, _ := sh(t, r, 323, "cat /etc/hostname; ls /run/hardnode"); got != "node323\njem" {
			t.Errorf("image with /%s a link: %q", name, got)
		}
		if err := r.Remove(deadline(t), 323, false); err != nil {
			t.Error(err)
		}
		before.compare(t, "image with /"+name+" a link")
	}
	s := box(t, 324, "")
	s.Process = host.Process{Argv: []string{"nosuch"}}
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "the program nosuch can't be executed, looked for in") ||
		strings.Contains(err.Error(), "argv") {
		t.Errorf("missing program: %v", err)
	}
	r.Remove(deadline(t), 324, false)
}
