package view

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/storage"
)

// TestHolds: what a disk holds is seen whole, however narrow the terminal.
func TestHolds(t *testing.T) {
	i := install.Status{Disks: []install.Disk{{Path: "/dev/sda", Bytes: 1 << 40, Holds: "nothing"},
		{Path: "/dev/sdb", Bytes: 1 << 40, Model: "A MODEL OF TWENTY-FOUR +",
			Holds: "Windows (NTFS), 3 partitions, and a RAID's superblock"}}}
	want := "/dev/sda       1024 GiB  -        -                        nothing\n" +
		"/dev/sdb       1024 GiB  -        A MODEL OF TWENTY-FOUR + see below\n" +
		"    holds Windows (NTFS), 3 partitions, and a RAID's superblock"
	if got := strings.Join(Storage(console.Host{}, i, storage.Status{State: storage.None}, 77), "\n"); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at its end\n%s", got, want)
	}
}

// TestData: what is used of DATA is told where there is one.
func TestData(t *testing.T) {
	h := console.Host{Capacity: host.Capacity{DiskBytes: 1 << 30}, Load: host.Load{DiskUsed: 1 << 20}}
	for configured, want := range map[bool]string{true: "DATA          1 MiB of 1024 MiB used",
		false: "DATA          none before there is a configuration"} {
		h.Configured = configured
		if got := Storage(h, install.Status{}, storage.Status{State: storage.None}, 77); got[0] != want {
			t.Errorf("configured %v: got %q, want %q", configured, got[0], want)
		}
	}
}

// TestUpdate: who watches an update at a terminal sees what it is at, how much of it is here, and what a release that failed said.
func TestUpdate(t *testing.T) {
	for _, c := range []struct {
		name string
		s    *host.SystemStatus
		want string
	}{
		{"not known", nil, ""},
		{"nothing to do", &host.SystemStatus{State: host.SystemIdle, Release: "1"}, ""},
		{"done", &host.SystemStatus{State: host.SystemDone, Target: "2"}, ""},
		{"on its way", &host.SystemStatus{State: host.SystemFetching, Target: "2", Bytes: 10 << 20, Total: 40 << 20},
			"update        fetching release 2: 10 of 40 MiB\n              [##########..............................] 25 %"},
		{"more than there is", &host.SystemStatus{State: host.SystemFetching, Target: "2", Bytes: 41 << 20, Total: 40 << 20},
			"update        fetching release 2: 41 of 40 MiB\n              [########################################] 100 %"},
		{"hot", &host.SystemStatus{State: host.SystemSwitching, Release: "1", Target: "2",
			Reason: "programs are replaced, one after the other"},
			"update        switching to release 2: programs are replaced, one after the\n              other"},
		{"tried hot", &host.SystemStatus{State: host.SystemTrying, Release: "1", Target: "2", Waits: []string{"gossip", "storage"}},
			"update        trying release 2: waits for gossip, storage"},
		{"tried, not looked at yet", &host.SystemStatus{State: host.SystemTrying, Release: "2"},
			"update        trying release 2: waits for its slots"},
		{"gone back from", &host.SystemStatus{State: host.SystemFailed, Target: "2", Reason: "its agent was not ready within 600 s"},
			"update        release 2: failed\nbecause       its agent was not ready within 600 s"},
	} {
		if got := strings.Join(Update(c.s, 76), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
