package slim

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestUnwritten(t *testing.T) {
	smaps := `00400000-00920000 r-xp 00000000 00:15 41                                 /usr/lib/hardnode/agent
Size:               5248 kB
Private_Clean:      5248 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00920000-00ed0000 r--p 00520000 00:15 41                                 /usr/lib/hardnode/agent
Anonymous:             0 kB
00ec0000-00ed0000 r--p 00ac0000 00:15 41                                 /usr/lib/hardnode/agent
Anonymous:             4 kB
00ed0000-00f30000 rw-p 00ad0000 00:15 41                                 /usr/lib/hardnode/agent
Anonymous:             0 kB
00f30000-00f40000 r--s 00ad0000 00:15 41                                 /usr/lib/hardnode/agent
Anonymous:             0 kB
00f40000-00f60000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000010000 r--p 00000000 00:15 42                         /usr/lib/hardnode/agent2
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`
	want := []area{{0x400000, 0x920000}, {0x920000, 0xed0000}}
	if got := unwritten(smaps, "/usr/lib/hardnode/agent"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	for _, bad := range []string{"", "x", "1-2 r--p 3", "2-1 r--p 0 0:0 1 f\nAnonymous: 0 kB\n", "z-1 r--p 0 0:0 1 f\nAnonymous: 0 kB\n"} {
		if got := unwritten(bad, "f"); got != nil {
			t.Errorf("got %x of %q", got, bad)
		}
	}
}

// written is data of the program that it has changed: it must stay.
var written = []string{"as", "built"}

// The program goes on as it was, with less of its file in memory.
func TestNow(t *testing.T) {
	written[1] = "changed " + strconv.Itoa(os.Getpid())
	before := resident(t, "RssFile:")
	if err := Now(); err != nil {
		t.Fatal(err)
	}
	after := resident(t, "RssFile:")
	if after >= before {
		t.Errorf("%d KiB of files are resident, before it were %d", after, before)
	}
	if written[0] != "as" || written[1] != "changed "+strconv.Itoa(os.Getpid()) {
		t.Errorf("data of the program changed: %q", written)
	}
}

// resident is a figure of proc_pid_status(5), in KiB.
func resident(t *testing.T, name string) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc/self/status", name)
	return 0
}
