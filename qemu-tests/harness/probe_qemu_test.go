//go:build qemu

package harness

import (
	"slices"
	"testing"

	"hardnode.dev/qemu-tests/harness/ask"
)

func TestProbe(t *testing.T) {
	dir := Dir(t)
	c := scenario(t, dir, "guest", "hang", GuestTest{DiskMiB: 512})
	if err := AddProbe(t.Context(), &c, dir); err != nil {
		t.Fatal(err)
	}
	vm := boot(t, c)
	hear(t, vm, 0, "hanging")
	must := func(q ask.Request) ask.Answer {
		t.Helper()
		d, err := vm.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	n := *must(ask.Request{What: "counts"}).Counts
	if n.Mounts < 8 || n.NetNS != 1 || n.UserNS != 1 || n.Cgroups != 2 || n.Subvolumes != 1 || n.Links < 1 || n.Addresses < 1 ||
		n.Processes < 2 {
		t.Errorf("counts are %+v", n)
	}
	if again := *must(ask.Request{What: "counts"}).Counts; again != n {
		t.Errorf("counts change from %+v to %+v although nothing happens", n, again)
	}
	list := must(ask.Request{What: "processes"}).Processes
	at := slices.IndexFunc(list, func(p ask.Process) bool { return p.Exe == "/test" })
	if at < 0 || list[at].PSS < 1<<20 || list[at].RSS < list[at].PSS || list[at].Cgroup != "/init" || list[at].Parent != 1 ||
		list[at].Start == 0 {
		t.Errorf("/test is not among or wrong in %+v", list)
	}
	if m := *must(ask.Request{What: "memory"}).Memory; m.Total < 900<<20 || m.Used < 10<<20 || m.Used > m.Total/2 {
		t.Errorf("memory is %+v", m)
	}
	if d := must(ask.Request{What: "read", Path: "/etc/group"}); d.Text == "" {
		t.Error("read of /etc/group gives nothing")
	}
	if _, err := vm.Ask(t.Context(), ask.Request{What: "kill", Path: "/none"}); err == nil {
		t.Error("killing a program that doesn't run is no error")
	}
	if d := must(ask.Request{What: "kill", Path: "/test"}); len(d.Killed) != 1 {
		t.Errorf("killed %v", d.Killed)
	}
	if e, err := vm.WaitEvent(t.Context(), "exit"); err != nil || e.Text() != "the test was killed by killed" {
		t.Errorf("after the kill the guest says %q, %v", e.Text(), err)
	}
}
