//go:build guest

package container

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// What a container sees of itself in /proc. That nobody waits long for a program that was killed or stopped, init/view shows.

// fakeView mounts the view as init does, and starts the program that answers there.
type fakeView struct {
	t   *testing.T
	dev *os.File
	cmd *exec.Cmd
}

func viewUp(t *testing.T) *fakeView {
	t.Helper()
	os.MkdirAll(boot.ViewDir, 0o755)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	v := &fakeView{t: t, dev: os.NewFile(uintptr(fd), "/dev/fuse")}
	if err := unix.Mount("procview", boot.ViewDir, "fuse", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		fmt.Sprintf("fd=%d,rootmode=40555,user_id=0,group_id=0,allow_other,default_permissions,max_read=32768", fd)); err != nil {
		t.Fatal(err)
	}
	v.start()
	t.Cleanup(func() {
		v.kill()
		unix.Unmount(boot.ViewDir, unix.MNT_DETACH)
		v.dev.Close()
	})
	return v
}

func (v *fakeView) start() {
	v.t.Helper()
	v.cmd = exec.Command("/usr/lib/hardnode/console", "-procview")
	v.cmd.Stdout, v.cmd.Stderr = os.Stdout, os.Stderr
	v.cmd.Env, v.cmd.ExtraFiles = []string{"LISTEN_FDS=1"}, []*os.File{v.dev}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: boot.ViewUser, Gid: boot.ViewUser}}
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
}

func (v *fakeView) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait()
}

// TestOwnFigures: a container of each profile reads its own memory, processors, load, disks and time, and they follow its limits; nothing
// there can be written; the program that answers is another one in between.
func TestOwnFigures(t *testing.T) {
	spawnerUp(t)
	view := viewUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(330 + i)
		viewed(t, r, id, p)
		see := func(when string, want map[string]string) {
			t.Helper()
			for script, w := range want {
				if got, _ := sh(t, r, id, "{ "+script+"; } 2>/dev/null"); got != w {
					t.Errorf("profile %s, %s: %s: got %q, want %q", p, when, script, got, w)
				}
			}
		}
		see("started", map[string]string{
			"awk '/^MemTotal/ {print $2}' /proc/meminfo":                               "131072",
			"awk '/^MemFree/ {print ($2 > 60000 && $2 < 131072)}' /proc/meminfo":       "1",
			"awk '/^MemAvailable/ {print ($2 > 60000 && $2 <= 131072)}' /proc/meminfo": "1",
			"grep -c '^processor' /proc/cpuinfo":                                       "1",
			"cat /sys/devices/system/cpu/online":                                       "0",
			"head -n1 /proc/stat | wc -w":                                              "11",
			"grep -c '^cpu[0-9]' /proc/stat":                                           "1",
			"awk '{print ($1 < 120 && $2 < 120)}' /proc/uptime":                        "1",
			"wc -w < /proc/loadavg":                                                    "5",
			"head -n1 /proc/swaps | cut -c1-8":                                         "Filename",
			"grep -vc ' disk[0-9]' /proc/diskstats":                                    "0",
			"ls /proc/pressure":                                                        "cpu\nio\nmemory",
			"grep -c avg10 /proc/pressure/memory":                                      "2",
			"for f in meminfo stat uptime pressure/cpu; do echo x > /proc/$f && echo wrote $f; done; echo end": "end",
			"chmod 666 /proc/meminfo || echo no":                            "no",
			"ls /proc/meminfo/.. || echo no":                                "no",
			"dd if=/proc/meminfo bs=7 | md5sum | cut -c1-32 | wc -c":        "33",
			"cat /proc/meminfo | wc -l; awk 'END {print NR}' /proc/meminfo": "50\n50", // cat copies by sendfile(2)
			"tail -n1 /proc/meminfo | cut -c1-8":                            "Hugetlb:",
			"ls /run/hardnode":                                              "conf\nidentity.sock\njem",
		})
		l := box(t, id, "").Limits
		l.MemoryMax = 96 << 20
		if err := r.SetLimits(deadline(t), id, l, 250000); err != nil {
			t.Fatal(err)
		}
		// a text is shown again for a moment after a change, so the first new one is waited for
		for end := time.Now().Add(30 * time.Second); ; {
			if got, _ := sh(t, r, id, "awk '/^MemTotal/ {print $2}' /proc/meminfo"); got == "98304" || time.Now().After(end) {
				break
			}
		}
		see("made smaller", map[string]string{"awk '/^MemTotal/ {print $2}' /proc/meminfo": "98304"})
		view.kill()
		go func() {
			<-time.After(100 * time.Millisecond)
			view.start()
		}()
		see("with another program in between", map[string]string{"awk '/^MemTotal/ {print $2}' /proc/meminfo": "98304",
			"head -n1 /proc/pressure/io | cut -c1-4": "some"})
	}
}

// TestViewCost says what the view costs a start. HARDNODE_BENCH asks for it.
func TestViewCost(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set")
	}
	spawnerUp(t)
	viewUp(t)
	with, without := newRuntime(t), newRuntime(t)
	without.opts.View = "/nowhere"
	var took [2][]time.Duration
	for n := range 12 {
		for k, r := range []*Runtime{without, with} {
			s := box(t, wire.CTID(340+2*n+k), forever)
			s.Profile = host.ProfileApp
			began := time.Now()
			mustStart(t, r, s)
			took[k] = append(took[k], time.Since(began))
		}
	}
	for k := range took {
		slices.Sort(took[k])
	}
	fmt.Printf("FIGURE start without the view %s, with it %s (median of %d)\n", took[0][6], took[1][6], len(took[0]))
}
