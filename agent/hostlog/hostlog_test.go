package hostlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/kmsg"
	"hardnode.dev/internal/wire/host"
)

func stampOf(i int) string { return time.Unix(1000+int64(i), 0).UTC().Format(time.RFC3339) }

func read1(t *testing.T, l Logs, spec host.HostLogsSpec) string {
	t.Helper()
	var got []string
	if err := l.Read(t.Context(), spec, func(b []byte) error { got = append(got, string(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, "|")
}

// TestRing: both files, oldest first; a trace without times belongs to the line before it.
func TestRing(t *testing.T) {
	dir := t.TempDir()
	l := Logs{Dir: dir}
	if got := read1(t, l, host.HostLogsSpec{Unit: host.UnitNetd}); got != "" {
		t.Errorf("a log that is not there yet: %q", got)
	}
	a, b, c := "time="+stampOf(1)+" level=INFO msg=a", "time="+stampOf(2)+" level=INFO msg=b", "time="+stampOf(3)+" msg=c"
	for name, text := range map[string]string{"agent.1": a + "\n" + b + "\n", "agent": "panic: out of luck\n" + c + "\nhalf a li"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		spec host.HostLogsSpec
		want []string
	}{
		{host.HostLogsSpec{}, []string{a, b, "panic: out of luck", c}},
		{host.HostLogsSpec{Tail: 2}, []string{"panic: out of luck", c}},
		{host.HostLogsSpec{Since: time.Unix(1002, 0)}, []string{b, "panic: out of luck", c}},
		{host.HostLogsSpec{Since: time.Unix(1002, 0), Tail: 1}, []string{c}},
		{host.HostLogsSpec{Since: time.Unix(1009, 0)}, nil},
	} {
		x.spec.Unit = host.UnitAgent
		if got, want := read1(t, l, x.spec), strings.Join(x.want, "|"); got != want {
			t.Errorf("%+v: got %q, want %q", x.spec, got, want)
		}
	}
	for _, bad := range []host.HostLogsSpec{{}, {Unit: "../agent"}, {Unit: "systemd"}, {Unit: host.UnitAgent, Tail: -1}} {
		if err := l.Read(t.Context(), bad, nil); err == nil {
			t.Errorf("%+v was read", bad)
		}
	}
}

// TestFollow: lines that come later, over a turn of the file, none lost or twice.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spawner")
	put := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	steps := []func(){
		func() { put("two, in ") },
		func() { put("two parts\n") },
		func() { put("three\n"); os.Rename(path, path+".1"); put("four\n") },
		func() { os.Rename(path, path+".1"); put("five\n") },
	}
	want := []string{"one", "two, in two parts", "three", "four", "five"}
	put("one\n")
	steps[0]()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	enough := errors.New("enough")
	var got []string
	err := Logs{Dir: filepath.Dir(path)}.Read(ctx, host.HostLogsSpec{Unit: host.UnitSpawner, Follow: true}, func(b []byte) error {
		got = append(got, string(b))
		switch string(b) {
		case "one":
			steps[1]()
		case "two, in two parts":
			steps[2]()
		case "four":
			steps[3]()
		case "five":
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// kernel is a log of records in the manner of /dev/kmsg: one a read.
func kernel(t *testing.T, kernel bool) (k *records, put func(string)) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	unit := host.UnitInit
	if kernel {
		unit = host.UnitKernel
	}
	k = &records{log: kmsg.New(os.NewFile(uintptr(fds[0]), "kmsg")), unit: unit, began: func() time.Time { return time.Unix(1000, 0) }}
	other := os.NewFile(uintptr(fds[1]), "the kernel")
	t.Cleanup(func() { k.close(); other.Close() })
	return k, func(s string) {
		t.Helper()
		if _, err := other.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKmsg(t *testing.T) {
	records := []string{
		"6,1,500000,-;Linux version 6.12\n",
		"14,2,1000000,-;hardnode: mount: 12 filesystems\n",
		"14,3,1100000,-;hardnode: agent: time=x msg=\"hardnode: no\"\n",
		"14,4,1200000,-;somebody: else\n",
		"14,5,1300000,-;hardnode: service agent: ended, exit code 2\n",
		"4,6,1500000,-,caller=T1;eth0: link up\n SUBSYSTEM=net\n DEVICE=n2\n",
		"nonsense\n",
		"12,7,1600000,c;hardnode: agent\n",
	}
	for _, c := range []struct {
		kernel bool
		want   string
	}{
		{true, "1970-01-01T00:16:40.500000Z Linux version 6.12|1970-01-01T00:16:41.500000Z eth0: link up"},
		{false, "1970-01-01T00:16:41.000000Z mount: 12 filesystems|1970-01-01T00:16:41.300000Z service agent: ended, exit code 2"},
	} {
		k, put := kernel(t, c.kernel)
		for _, r := range records {
			put(r)
		}
		lines, err := k.more()
		var got []string
		for _, x := range lines {
			got = append(got, string(x.Text))
		}
		if s := strings.Join(got, "|"); err != nil || s != c.want {
			t.Errorf("kernel %v: got %q, %v; want %q", c.kernel, s, err, c.want)
		}
		if lines, err := k.more(); len(lines) != 0 || err != nil {
			t.Errorf("nothing new: %v, %v", lines, err)
		}
	}
}
