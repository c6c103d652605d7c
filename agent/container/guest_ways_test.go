//go:build guest

package container

import (
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// mayDo is what is refused to nobody: root of a full OS has a network of its own, which the host's rules contain (agent/network).
var mayDo = map[host.Profile][]string{
	host.ProfileSystem: {"network: raw", "network: packets", "network: a link of its own"},
}

// TestWaysOut: every way to the machine's own, or to another container's, is closed to root of both profiles: devices, cgroups, procfs,
// FUSE, mounts, other users' ids, ptrace, the kernel's own calls, and families of sockets that speak to the host.
func TestWaysOut(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(840 + i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		got, code := sh(t, r, id, "/bin/hostile escape")
		if code != 0 || strings.Count(got, "\n") < 35 {
			t.Fatalf("profile %s: code %d: %s", p, code, got)
		}
		open := []string{}
		for line := range strings.Lines(got) {
			if name, done := strings.CutPrefix(strings.TrimSpace(line), "done\t"); done {
				open = append(open, name)
			}
		}
		t.Logf("profile %s:\n%s", p, got)
		if want := mayDo[p]; !slices.Equal(open, want) && len(open)+len(want) > 0 {
			t.Errorf("profile %s: open are %q, want %q", p, open, want)
		}
	}
}

// TestCVE_2022_29162_0811: no right is handed down to what a container's program executes, and none of the host's settings can be set,
// whatever a container's owner gives as its environment.
func TestCVE_2022_29162_0811(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(842 + i)
		s := box(t, id, forever)
		s.Profile = p
		s.Process.Env = map[string]string{"A": "b\nkernel.core_pattern=|/x", "B": "net.ipv4.ip_forward=1+kernel.shm_rmid_forced=1"}
		mustStart(t, r, s)
		for _, who := range []string{"self", "1"} {
			if got, _ := sh(t, r, id, "awk '/^Cap(Inh|Amb)/ {print $2}' /proc/"+who+"/status | sort -u"); got != "0000000000000000" {
				t.Errorf("profile %s: process %s hands down %q", p, who, got)
			}
		}
		if got, _ := sh(t, r, id, "cat /proc/sys/kernel/core_pattern"); strings.Contains(got, "/x") {
			t.Errorf("profile %s: core_pattern is %q", p, got)
		}
	}
}

// TestCVE_2025_52565: what a container has put in the place of its console, its terminals and what covers its procfs is gone at its next
// start, and never followed: each is a device of the container's own again.
func TestCVE_2025_52565(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(844 + i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		sh(t, r, id, "umount -l /dev/console /dev/pts /dev/null 2>/dev/null; cd /dev && for f in console null ptmx pts tty; do rm -rf $f; "+
			"ln -s /proc/sysrq-trigger $f; done; rm -rf /dev/shm; ln -s /proc /dev/shm")
		if err := r.Stop(deadline(t), id); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		for script, want := range map[string]string{
			"find /dev -type l | sort | tr '\\n' ' '":                 "/dev/fd /dev/ptmx /dev/stderr /dev/stdin /dev/stdout",
			"test -c /dev/null && test -c /dev/tty && echo yes":       "yes",
			"readlink /dev/ptmx":                                      "pts/ptmx",
			"stat -f -c %T /dev/pts /dev/shm | tr '\\n' ' '":          "devpts tmpfs",
			"wc -c < /proc/kcore":                                     "0",
			"test ! -e /dev/console || test -c /dev/console; echo $?": "0",
		} {
			if got, _ := sh(t, r, id, script); got != want {
				t.Errorf("profile %s: %s: got %q, want %q", p, script, got, want)
			}
		}
	}
}
