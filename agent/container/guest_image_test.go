//go:build guest

package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/spawner/call"
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
	e, err := r.Exec(deadline(t), 320, host.ExecSpec{Argv: []string{"sh", "-c", "id -u; id -G; echo $HOME"}, User: "www"},
		command.Stdio{Out: &out})
	if err != nil || e.Code != 0 || out.String() != "33\n33\n/\n" {
		t.Errorf("as www: %q %+v %v", out.String(), e, err)
	}
	if _, err := r.Exec(deadline(t), 320, host.ExecSpec{Argv: []string{"true"}, User: "nosuch"},
		command.Stdio{}); !errors.Is(err, ErrInvalid) {
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

// TestLargeIDs: an image whose files belong to user 100000, run as user 1000000. Its container has these ids and no others; on the host
// they are ids of its own range; what it wrote keeps its owners with another range.
func TestLargeIDs(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 325, "touch /tmp/mine /var/data/deep/mine; echo started > /tmp/done; "+forever)
	s.ImagePath, s.Image.Digest = image(t, "ids")
	s.Process.UID, s.Process.GID, s.Process.Groups = 1000000, 1000000, []uint32{100000}
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data/deep", Bytes: 16 << 20}}
	s.Files = []host.File{{Path: "/run/hardnode/conf/app.json", Mode: 0o400, Data: []byte("{}")}}
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "user or group number 1000000") {
		t.Errorf("without its blocks: %v", err)
	}
	s.Image.IDBlocks = []uint16{1, 15}
	for _, base := range []uint32{call.LargeRanges, 1<<32 - 2*call.LargeRange} {
		s.UIDBase = base
		o, err := r.Start(deadline(t), s)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := sh(t, r, 325, "for i in $(seq 60); do test -e /tmp/done && echo there && break; sleep 1; done"); got != "there" {
			t.Fatal("the program wrote nothing within a minute")
		}
		for script, want := range map[string]string{
			"stat -c %u:%g /srv/one":                        "100000:100000",
			"stat -c %u:%g /tmp/mine":                       "1000000:1000000",
			"stat -c %u:%g /var/data/deep/mine":             "1000000:1000000",
			"stat -c %u:%g /run/hardnode/conf/app.json":     "1000000:1000000",
			"stat -c %u:%g /run/app":                        "100000:100000",
			"grep Uid: /proc/1/status | tr '\\t' ' '":       "Uid: 1000000 1000000 1000000 1000000",
			"grep Groups: /proc/1/status":                   "Groups:\t100000 ",
			"touch /tmp/x && chown 1048575 /tmp/x; echo $?": "0",
			"chown 200000 /tmp/x 2>/dev/null; echo $?":      "1",
			"tr -s ' ' < /proc/self/uid_map | wc -l":        "3",
		} {
			if got, _ := sh(t, r, 325, script); got != strings.TrimSpace(want) {
				t.Errorf("base %d: %s: got %q, want %q", base, script, got, want)
			}
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.PID))
		if want := fmt.Sprintf("Uid:\t%d\t", base+2*65536+1000000-15*65536); err != nil || !strings.Contains(string(status), want) {
			t.Errorf("on the host its process is not %q: %v\n%s", want, err, status)
		}
		for user, want := range map[string]string{"100000": "100000\n0\n", "1000000:100000": "1000000\n100000\n"} {
			var out bytes.Buffer
			e, err := r.Exec(deadline(t), 325, host.ExecSpec{Argv: []string{"sh", "-c", "id -u; id -g; cat > /dev/null"}, User: user},
				command.Stdio{In: io.NopCloser(strings.NewReader("x")), Out: &out})
			if err != nil || e.Code != 0 || out.String() != want {
				t.Errorf("base %d: exec as %s: %q %+v %v", base, user, out.String(), e, err)
			}
		}
		if _, err := r.Exec(deadline(t), 325, host.ExecSpec{Argv: []string{"true"}, User: "200000"},
			command.Stdio{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "number 200000") {
			t.Errorf("exec as a user it has not: %v", err)
		}
		all, err := r.Observe(deadline(t))
		if err != nil || len(all) != 1 || all[0].UIDBase != base {
			t.Errorf("observed %+v, %v; want base %d", all, err, base)
		}
		if got := cgroup.Range(r.cgroup(325)); got != base {
			t.Errorf("its cgroup shows range %d, want %d", got, base)
		}
		if err := r.Stop(deadline(t), 325); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Remove(deadline(t), 325, false); err != nil {
		t.Error(err)
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
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "the image's /"+name+" must be a directory") ||
			strings.Contains(err.Error(), "0x") {
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
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "the program nosuch can't be executed, looked for in") ||
		strings.Contains(err.Error(), "argv") {
		t.Errorf("missing program: %v", err)
	}
	r.Remove(deadline(t), 324, false)
}
