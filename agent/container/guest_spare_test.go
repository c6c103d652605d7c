//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// TestSpares: a container gets the namespaces of a spare, or its own when there is none; no two get the same; what is left of a spare is
// nothing, whoever kills it or the spawner.
func TestSpares(t *testing.T) {
	i := spawnerUp(t)
	r := newRuntime(t)
	before := worldOf(t)
	mustStart(t, r, box(t, 610, forever))
	made := waitSpares(t, i, 2)
	ahead := map[string]bool{}
	for _, pid := range made {
		ahead[namespace(t, pid, "net")] = true
		if m, err := os.ReadFile("/proc/" + pid + "/uid_map"); err != nil || len(m) > 0 {
			t.Errorf("a spare has ids: %q, %v", m, err)
		}
		if namespace(t, pid, "mnt") != namespace(t, "self", "mnt") || namespace(t, pid, "pid") != namespace(t, "self", "pid") {
			t.Error("a spare has mounts or processes of its own, which would hold the host's")
		}
	}
	seen := map[string]wire.CTID{}
	warm := 0
	for id := wire.CTID(611); id <= 614; id++ { // more than there are spares, in less time than they are made in
		pid := strconv.Itoa(mustStart(t, r, box(t, id, forever)).PID)
		for _, kind := range []string{"user", "net", "uts", "ipc", "pid", "mnt", "cgroup"} {
			ns := namespace(t, pid, kind)
			if other, taken := seen[ns]; taken || ns == namespace(t, "self", kind) {
				t.Errorf("container %s has the %s namespace of container %s, or the host's", id, kind, other)
			}
			seen[ns] = id
		}
		if ahead[namespace(t, pid, "net")] {
			warm++
		}
		base := fmt.Sprint(box(t, id, "").UIDBase)
		if m, _ := os.ReadFile("/proc/" + pid + "/uid_map"); !slices.Equal(strings.Fields(string(m)), []string{"0", base, "65536"}) {
			t.Errorf("container %s has the ids %q, want its own from %s on", id, m, base)
		}
		if got, code := sh(t, r, id, "cat /sys/class/net/lo/flags; hostname; cat /proc/1/oom_score_adj"); code != 0 ||
			got != "0x9\nnode"+id.String()+"\n100" {
			t.Errorf("container %s: lo, name and OOM score are %q, %d", id, got, code)
		}
	}
	if warm == 0 { // on a slow machine more are made meanwhile, and are taken first
		t.Error("no container has namespaces that were made ahead")
	}

	made = waitSpares(t, i, 2)
	for _, pid := range made { // the kernel may do so when memory runs out
		n, _ := strconv.Atoi(pid)
		unix.Kill(n, unix.SIGKILL)
	}
	mustStart(t, r, box(t, 615, forever))
	made = waitSpares(t, i, 2)
	i.kill()
	for _, pid := range made {
		for end := time.Now().Add(20 * time.Second); ; run.Wait(context.Background(), 20*time.Millisecond) {
			if _, err := os.Readlink("/proc/" + pid + "/exe"); err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("spare %s outlived its spawner", pid)
			}
		}
	}
	i.start()
	if list := spares(t, i); len(list) != 0 {
		t.Errorf("a spawner that started nothing has the spares %v", list)
	}
	mustStart(t, r, box(t, 616, forever)) // in namespaces of its own
	if got, code := sh(t, r, 616, "cat /sys/class/net/lo/flags; hostname; cat /proc/1/oom_score_adj"); code != 0 ||
		got != "0x9\nnode616\n100" {
		t.Errorf("without a spare: lo, name and OOM score are %q, %d", got, code)
	}
	for id := wire.CTID(610); id <= 616; id++ {
		if err := r.Remove(deadline(t), id, false); err != nil {
			t.Error(err)
		}
	}
	// The next spawner has its own descriptors.
	before.fds = nil
	after := worldOf(t)
	after.fds = nil
	if !reflect.DeepEqual(after, before) {
		t.Errorf("before %v\nafter %v", before, after)
	}
}

// spares are the processes of the spawner that wait for a container, and those that had theirs and are not ended yet.
func spares(t testing.TB, i *fakeInit) (list []string) {
	t.Helper()
	spawner := i.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", spawner, spawner))
	if err != nil {
		return nil
	}
	own := namespace(t, "self", "user")
	for _, c := range strings.Fields(string(children)) {
		group, err := os.ReadFile("/proc/" + c + "/cgroup")
		user, nerr := os.Readlink("/proc/" + c + "/ns/user")
		if err == nil && nerr == nil && !strings.Contains(string(group), "/ct/") && user != own {
			list = append(list, c)
		}
	}
	return list
}

func waitSpares(t *testing.T, i *fakeInit, n int) []string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; run.Wait(context.Background(), 20*time.Millisecond) {
		list := spares(t, i)
		ready := len(list) == n
		for _, pid := range list { // it waits at its line once lo is up, and has ids once it was used
			b, _ := os.ReadFile("/proc/" + pid + "/wchan")
			ids, err := os.ReadFile("/proc/" + pid + "/uid_map")
			ready = ready && len(b) > 1 && err == nil && len(ids) == 0
		}
		if ready {
			return list
		}
		if time.Now().After(end) {
			t.Fatalf("the spares are %v after 20 s, want %d", list, n)
		}
	}
}

func namespace(t testing.TB, pid, kind string) string {
	t.Helper()
	ns, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}
