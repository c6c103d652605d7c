package kmsg

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want Record
		ok   bool
	}{
		{"6,1,500000,-;Linux version 6.12\n", Record{Since: 500 * time.Millisecond, Text: "Linux version 6.12"}, true},
		{"14,2,1000000,-;hardnode: mount\n", Record{Facility: 1, Since: time.Second, Text: "hardnode: mount"}, true},
		{"4,6,1500000,-,caller=T1;eth0: up; fast\n SUBSYSTEM=net\n", Record{Since: 1500 * time.Millisecond, Text: "eth0: up; fast"}, true},
		{"3,1,1,c;", Record{Since: time.Microsecond}, true},
		{"", Record{}, false},
		{";", Record{}, false},
		{"3,1;x", Record{}, false},
		{"-3,1,1,-;x", Record{}, false},
		{"3,1,-1,-;x", Record{}, false},
		{"3,x,y,z;x", Record{}, false},
		{"99999999999,1,1,-;x", Record{}, false},
		{"3,1,99999999999999999,-;x", Record{}, false},
	} {
		if got, ok := Parse(c.raw); got != c.want || ok != c.ok {
			t.Errorf("%q: got %+v, %v; want %+v, %v", c.raw, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("6,1,500000,-;text\n KEY=value\n")
	f.Add("999999999999999999999,1,99999999999999999999,;")
	f.Fuzz(func(t *testing.T, b string) {
		if r, ok := Parse(b); ok && (strings.Contains(r.Text, "\n") || r.Since < 0 || r.Facility < 0) {
			t.Errorf("%q gave %+v", b, r)
		}
	})
}

// TestEach: what is there is given once, in order; what came after is given by the next call; nonsense is passed over.
func TestEach(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := New(os.NewFile(uintptr(fds[0]), "kmsg"))
	defer l.Close()
	kernel := os.NewFile(uintptr(fds[1]), "the kernel")
	defer kernel.Close()
	l.gap = true // as after EPIPE
	for _, round := range []struct {
		put  []string
		want []string
	}{
		{[]string{"nonsense\n", "6,1,1,-;one\n", "6,2,2,-;two\n"}, []string{"gap", "one", "two"}},
		{nil, nil},
		{[]string{"6,3,3,-;three\n"}, []string{"three"}},
	} {
		for _, s := range round.put {
			if _, err := kernel.WriteString(s); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		err := l.Each(func(r Record) {
			if r.Gap {
				got = append(got, "gap")
			}
			got = append(got, r.Text)
		})
		if err != nil || !reflect.DeepEqual(got, round.want) {
			t.Errorf("got %q, %v; want %q", got, err, round.want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "kmsg")); err == nil {
		t.Error("a log that is not there was opened")
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Each(func(Record) {}); err == nil {
		t.Error("a folder was read as a log")
	}
}
