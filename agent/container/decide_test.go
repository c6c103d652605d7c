package container

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func spec() StartSpec {
	return StartSpec{UIDBase: 65536, ImagePath: "/data/x.erofs", Container: host.Container{CTID: 101, Hostname: "n", Profile: host.ProfileApp,
		Image:   host.Image{Digest: "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		Process: host.Process{Argv: []string{"nginx"}}, Volumes: []host.Volume{{Name: "data", Path: "/var/lib/data"}},
		Files: []host.File{{Path: "/run/hardnode/a/b.json"}}}}
}

func TestCheck(t *testing.T) {
	if s := spec(); check(&s) != nil {
		t.Errorf("good spec: %v", check(&s))
	}
	for _, c := range []struct {
		change func(*StartSpec)
		want   string
	}{
		{func(s *StartSpec) { s.CTID = 0 }, "ctid"},
		{func(s *StartSpec) { s.UIDBase = 0 }, "uid base"},
		{func(s *StartSpec) { s.UIDBase = 65537 }, "uid base"},
		{func(s *StartSpec) { s.UIDBase = 1<<32 - 65536 }, "uid base"},
		{func(s *StartSpec) { s.Profile = "vm" }, "profile"},
		{func(s *StartSpec) { s.Process.Argv = nil }, "no program"},
		{func(s *StartSpec) { s.Process.Cwd = "srv" }, "absolute"},
		{func(s *StartSpec) { s.Process.UID = 65536 }, "user or group number 65536: containers of this image have the numbers 0 to 65535"},
		{func(s *StartSpec) { s.Process.Groups = []uint32{70000} }, "number 70000"},
		{func(s *StartSpec) { s.Image.IDBlocks, s.Process.GID = []uint16{1}, 200000 }, "number 200000: containers of this image have the numbers 0 to 65535, 65536 to 131071"},
		{func(s *StartSpec) { s.Image.IDBlocks = []uint16{2, 1} }, "ascending"},
		{func(s *StartSpec) { s.Image.IDBlocks, s.UIDBase = []uint16{1}, 1<<32-2<<16 }, "base"},
		{func(s *StartSpec) { s.Process.StopWith = "SIGNONE" }, "SIGNONE"},
		{func(s *StartSpec) { s.Process.Env = map[string]string{"A=B": "c"} }, "is no name"},
		{func(s *StartSpec) { s.Hostname = "-" }, "host name"},
		{func(s *StartSpec) { s.Image.Digest = "sha256:0" }, "digest"},
		{func(s *StartSpec) { s.Volumes[0].Name = "../x" }, "volume name"},
		{func(s *StartSpec) { s.Volumes = append(s.Volumes, s.Volumes[0]) }, "twice"},
		{func(s *StartSpec) { s.Volumes[0].Path = "/proc/sys" }, "belongs to the host"},
		{func(s *StartSpec) { s.Volumes[0].Path = "/dev" }, "belongs to the host"},
		{func(s *StartSpec) { s.Volumes[0].Path = "/" }, "below /"},
		{func(s *StartSpec) { s.Volumes[0].Path = "/a/../proc" }, "clean"},
		{func(s *StartSpec) { s.Files[0].Path = "/etc/passwd" }, "below /run/hardnode/"},
		{func(s *StartSpec) { s.Files[0].Path = "/run/hardnode/../x" }, "below /run/hardnode/"},
		{func(s *StartSpec) { s.Files[0].Path = "/run/hardnode/jem" }, "taken"},
	} {
		s := spec()
		c.change(&s)
		if err := check(&s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
		}
	}
}

func TestLimitSettings(t *testing.T) {
	for _, c := range []struct {
		l    host.Limits
		cpu  int64
		want string
	}{
		{host.Limits{}, 0, "[{memory.min 0} {memory.high max} {memory.max max} {cpu.weight 100} {cpu.max max 100000} {pids.max 1024}]"},
		{host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 3, CPUWeight: 20000, PIDs: 7}, 250000,
			"[{memory.min 1} {memory.high 2} {memory.max 3} {cpu.weight 10000} {cpu.max 250000 100000} {pids.max 7}]"},
		{host.Limits{CPUWeight: 1}, 5, "[{memory.min 0} {memory.high max} {memory.max max} {cpu.weight 1} {cpu.max 1000 100000} {pids.max 1024}]"},
	} {
		if got := fmt.Sprint(limitSettings(c.l, c.cpu)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestUnborn: only what a new cgroup does not have is written. That the kernel's defaults are those, a guest test shows.
func TestUnborn(t *testing.T) {
	if got, want := fmt.Sprint(unborn(limitSettings(host.Limits{}, 0))), "[{pids.max 1024}]"; got != want {
		t.Errorf("without limits: %s, want %s", got, want)
	}
	all := limitSettings(host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 3, CPUWeight: 4, PIDs: 7}, 250000)
	if got := unborn(all); !slices.Equal(got, all) {
		t.Errorf("with all limits: %v, want %v", got, all)
	}
}

func TestStopSignal(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile host.Profile
		want    unix.Signal
	}{{"", host.ProfileApp, unix.SIGTERM}, {"", host.ProfileSystem, 37}, {"SIGQUIT", host.ProfileApp, unix.SIGQUIT}, {"SIGRTMIN+4", host.ProfileApp, 38}} {
		if got, err := stopSignal(host.Process{StopWith: c.name}, c.profile); got != c.want || err != nil {
			t.Errorf("%q: got %d %v, want %d", c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{"QUIT", "SIGRTMIN+99", "9"} {
		if got, err := stopSignal(host.Process{StopWith: bad}, host.ProfileApp); err == nil {
			t.Errorf("%q: got %d", bad, got)
		}
	}
}

func TestProcessAndCommand(t *testing.T) {
	pr, err := profileOf(host.ProfileApp)
	if err != nil {
		t.Fatal(err)
	}
	p := host.Process{Argv: []string{"nginx"}, Env: map[string]string{"PATH": "/opt/bin::relative:/bin", "A": "1"}, UID: 33, GID: 34}
	got := pr.process(p, "web")
	if want := []string{"A=1", "HOSTNAME=web", "PATH=/opt/bin::relative:/bin"}; !slices.Equal(got.Env, want) {
		t.Errorf("environment %q, want %q", got.Env, want)
	}
	if !slices.Equal(got.Path, []string{"/opt/bin", "/bin"}) || got.Cwd != "/" || got.UID != 33 || !got.NoNewPrivs || got.Caps != 0xa00405fb {
		t.Errorf("got %+v", got)
	}
	e := pr.command(p, "web", host.ExecSpec{Argv: []string{"sh"}, TTY: true, Env: map[string]string{"A": "2"}}, account{home: "/root"})
	if want := []string{"A=2", "HOME=/root", "HOSTNAME=web", "PATH=/opt/bin::relative:/bin", "TERM=xterm-256color"}; !slices.Equal(e.Env, want) {
		t.Errorf("environment %q, want %q", e.Env, want)
	}
	if e.UID != 0 || !e.NoNewPrivs || e.Caps != got.Caps || !reflect.DeepEqual(e.Seccomp, got.Seccomp) {
		t.Error("a command is confined otherwise than the program")
	}
	system, err := profileOf(host.ProfileSystem)
	if err != nil {
		t.Fatal(err)
	}
	if s := system.process(host.Process{}, "os"); !slices.Equal(s.Argv, []string{"/sbin/init"}) || s.Caps&(1<<unix.CAP_SYS_MODULE) != 0 || s.Caps&(1<<unix.CAP_SYS_ADMIN) == 0 {
		t.Errorf("system: %+v", s)
	}
}

// verdict runs a filter as the kernel would, in the package's own machine.
func verdict(t *testing.T, prog []bpf.Instruction, archID uint32, nr int, args ...uint64) uint32 {
	t.Helper()
	// struct seccomp_data: the machine reads words big-endian, the kernel in the processor's order; arguments are two words, low first.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data, uint32(nr))
	binary.BigEndian.PutUint32(data[4:], archID)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestSeccomp(t *testing.T) {
	const (
		allow  = uint32(unix.SECCOMP_RET_ALLOW)
		eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	app, err := seccompProgram(appDenied, appAbsent, true)
	if err != nil {
		t.Fatal(err)
	}
	system, err := seccompProgram(systemDenied, systemAbsent, false)
	if err != nil {
		t.Fatal(err)
	}
	numbers := arch.X86_64.SyscallNames
	id := uint32(arch.X86_64.ID)
	for _, c := range []struct {
		name        string
		args        []uint64
		app, system uint32
	}{
		{"read", nil, allow, allow},
		{"execve", nil, allow, allow},
		{"openat2", nil, allow, allow},
		{"ptrace", nil, allow, allow},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow, allow},
		{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, enosys, allow},
		{"clone", []uint64{unix.CLONE_NEWNS}, enosys, allow},
		{"clone3", nil, enosys, allow},
		{"socket", []uint64{unix.AF_INET}, allow, allow},
		{"socket", []uint64{unix.AF_UNIX}, allow, allow},
		{"socket", []uint64{unix.AF_ALG}, enosys, enosys},
		{"socket", []uint64{unix.AF_VSOCK}, enosys, enosys},
		{"socket", []uint64{unix.AF_ALG | 1<<32}, enosys, enosys}, // the kernel cuts off the high word
		{"clone", []uint64{unix.CLONE_NEWNET | 1<<40}, enosys, allow},
		{"personality", []uint64{0}, allow, allow},
		{"personality", []uint64{0xffffffff}, allow, allow},
		{"personality", []uint64{0x0008}, allow, allow},
		{"personality", []uint64{0x0400000}, eperm, eperm},         // READ_IMPLIES_EXEC
		{"personality", []uint64{0x0400008}, eperm, eperm},         // with another
		{"personality", []uint64{0x0400000 | 1<<40}, eperm, eperm}, // the kernel cuts off the high word
		{"personality", []uint64{0x0040000}, eperm, eperm},         // ADDR_NO_RANDOMIZE
		{"personality", []uint64{0x0100000}, eperm, eperm},         // MMAP_PAGE_ZERO
		{"mount", nil, eperm, allow},
		{"fsopen", nil, eperm, allow},
		{"setns", nil, eperm, allow},
		{"unshare", nil, eperm, allow},
		{"kexec_load", nil, eperm, eperm},
		{"bpf", nil, eperm, eperm},
		{"pidfd_getfd", nil, eperm, eperm},
		{"open_by_handle_at", nil, eperm, eperm},
		{"userfaultfd", nil, eperm, eperm},
		{"io_uring_setup", nil, enosys, enosys},
		{"keyctl", nil, enosys, enosys},
	} {
		nr, ok := numbers[c.name]
		if !ok {
			t.Errorf("%s is not in the table", c.name)
		}
		if got := verdict(t, app, id, nr, c.args...); got != c.app {
			t.Errorf("app: %s %x gives %#x, want %#x", c.name, c.args, got, c.app)
		}
		if got := verdict(t, system, id, nr, c.args...); got != c.system {
			t.Errorf("system: %s %x gives %#x, want %#x", c.name, c.args, got, c.system)
		}
	}
	passed := [][]string{allowedNames(appDenied, appAbsent), allowedNames(systemDenied, systemAbsent)}
	for i, prog := range [][]bpf.Instruction{app, system} {
		if got := verdict(t, prog, id, 900); got != enosys {
			t.Errorf("an unknown call gives %#x", got)
		}
		if got := verdict(t, prog, uint32(arch.I386.ID), 1); got == allow {
			t.Error("the 32-bit door is open")
		}
		if got := verdict(t, prog, id, 0x40000000|numbers["read"]); got == allow {
			t.Error("the x32 door is open")
		}
		if len(prog) > 400 {
			t.Errorf("filter has %d instructions: is it a tree?", len(prog))
		}
		// Every number, whatever the first argument: only what the lists say is allowed.
		for nr := range 512 {
			name := arch.X86_64.SyscallNumbers[nr]
			for _, arg := range []uint64{0, unix.AF_ALG, unix.CLONE_NEWUSER, unix.CLONE_NEWNS | 41, ^uint64(0)} {
				got := verdict(t, prog, id, nr, arg)
				if name == "" && got != enosys {
					t.Errorf("call %d with %#x gives %#x and has no name", nr, arg, got)
				}
				if want := slices.Contains(passed[i], name); name != "socket" && name != "clone" && name != "personality" && (got == allow) != want {
					t.Errorf("%s with %#x gives %#x; in the list of allowed ones: %v", name, arg, got, want)
				}
			}
		}
	}
	if raw, err := seccompFor(appDenied, appAbsent, true); err != nil || len(raw) != 8*len(app) {
		t.Errorf("%d bytes for %d instructions: %v", len(raw), len(app), err)
	}
}

// TestAllowedNames pins what the filters let through: a new table of the library is a change to review.
func TestAllowedNames(t *testing.T) {
	for _, c := range []struct {
		file            string
		denied, missing []string
	}{{"seccomp-app.txt", appDenied, appAbsent}, {"seccomp-system.txt", systemDenied, systemAbsent}} {
		got := strings.Join(allowedNames(c.denied, c.missing), "\n") + "\n"
		path := filepath.Join("testdata", c.file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from the calls allowed now; if that is meant: go test ./agent/container -update", path)
		}
	}
}

func TestJudge(t *testing.T) {
	began := time.Unix(100, 0)
	run := func(pid int, known bool) record {
		return record{Record: call.Record{PID: pid, Started: began, Ended: began.Add(time.Second), Code: 3, Known: known, Starts: 2},
			note: note{Container: host.Container{CTID: 5, Generation: 2}, UIDBase: 65536, Files: "h"}}
	}
	for _, c := range []struct {
		name string
		f    facts
		want Observed
	}{
		{"runs", facts{rec: run(9, false), known: true, cgroup: true, populated: true, disk: volume.Contents{Layers: []int64{1, 2}, Volumes: []string{"v"}}},
			Observed{CTID: 5, State: StateRunning, PID: 9, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2}, FilesHash: "h", Started: began,
				Restarts: 1, Volumes: []string{"v"}, Leftovers: []string{"layer of generation 1"}}},
		{"exited", facts{rec: run(0, true), known: true, cgroup: true},
			Observed{CTID: 5, State: StateExited, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2}, FilesHash: "h", Started: began,
				Exited: began.Add(time.Second), ExitCode: 3, ExitKnown: true, Restarts: 1}},
		{"only on disk", facts{disk: volume.Contents{Layers: []int64{4}}}, Observed{CTID: 5, State: StateStopped, Generation: 4}},
		{"processes nobody knows", facts{cgroup: true, populated: true}, Observed{CTID: 5, State: StateOrphan}},
		{"its note is damaged", facts{rec: record{Record: run(9, false).Record, damage: errors.New("torn")}, known: true, cgroup: true, populated: true, base: 131072,
			disk: volume.Contents{Layers: []int64{2}}},
			Observed{CTID: 5, State: StateRunning, PID: 9, Generation: 2, UIDBase: 131072, Started: began, Restarts: 1}},
		{"its first process can't end", facts{rec: run(9, false), known: true, stuck: true},
			Observed{CTID: 5, State: StateOrphan, PID: 9, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2}, FilesHash: "h", Started: began, Restarts: 1}},
		{"half of a layer", facts{disk: volume.Contents{Rest: []string{"new-layer-1"}}}, Observed{CTID: 5, State: StateStopped, Leftovers: []string{`"new-layer-1" on disk`}}},
		{"an empty cgroup", facts{cgroup: true}, Observed{CTID: 5, State: StateStopped, Leftovers: []string{"empty cgroup"}}},
	} {
		if got := judge(5, c.f); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

// TestOneBadRecord: what can't be read of one record is that record's business.
func TestOneBadRecord(t *testing.T) {
	good, err := makeNote(&StartSpec{Container: host.Container{CTID: 6, Generation: 2}, UIDBase: 65536})
	if err != nil {
		t.Fatal(err)
	}
	all := readRecords([]call.Record{{ID: "5", Note: []byte("{torn")}, {ID: "6", Note: good}, {ID: "7", Note: good}, {ID: "nonsense"}, {ID: "8"}})
	if len(all) != 4 || all[6].damage != nil || all[6].UIDBase != 65536 {
		t.Errorf("the good one: %+v of %d, want 4 records", all[6], len(all))
	}
	for _, id := range []wire.CTID{5, 7, 8} {
		if rec := all[id]; rec.damage == nil || rec.ID != id.String() || rec.UIDBase != 0 || rec.Container.CTID != 0 {
			t.Errorf("record %d: got %+v, want one that says it is damaged", id, rec)
		}
	}
}

// TestDrift: what the kernel has is compared as it keeps it.
func TestDrift(t *testing.T) {
	l := host.Limits{MemoryMin: 1, MemoryMax: 3<<20 + 5, CPUWeight: 20000, PIDs: 7, DiskBytes: 9}
	other := l
	other.PIDs, other.DiskBytes = 8, 0
	noQuota := SetOf(other, 5)
	noQuota.noDisk = true
	for _, c := range []struct {
		name string
		s    Set
		want string
	}{
		{"the same", SetOf(l, 5), ""},
		{"nothing is known", Set{noDisk: true}, ""},
		{"some", SetOf(other, 5), "pids.max is 8, wanted 7; disk quota is 0, wanted 9"},
		{"the quota is not known", noQuota, "pids.max is 8, wanted 7"},
		{"as the kernel writes it", Set{cgroup: "memory.min 0\nmemory.high max\nmemory.max 3145728\ncpu.weight 10000\ncpu.max 1000 100000\npids.max 7\n", disk: 9}, ""},
		{"one file is missing", Set{cgroup: "cpu.weight 1\n", disk: 9}, "cpu.weight is 1, wanted 10000"},
	} {
		if got := c.s.Drift(l, 5); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFilesHash(t *testing.T) {
	a := []host.File{{Path: "/run/hardnode/a", Mode: 0o400, Data: []byte("x")}, {Path: "/run/hardnode/b"}}
	b := []host.File{a[1], a[0]}
	if FilesHash(a) != FilesHash(b) || FilesHash(nil) != "" {
		t.Error("order or emptiness counts")
	}
	for _, c := range []host.File{{Path: "/run/hardnode/a", Mode: 0o401, Data: []byte("x")}, {Path: "/run/hardnode/a", Mode: 0o400, Data: []byte("y")}, {Path: "/run/hardnode/c", Mode: 0o400, Data: []byte("x")}} {
		if FilesHash([]host.File{c, a[1]}) == FilesHash(a) {
			t.Errorf("%+v makes no difference", c.Path)
		}
	}
}

func TestNoteHoldsNoSecret(t *testing.T) {
	s := spec()
	s.Files[0].Data = []byte("SECRET")
	b, err := makeNote(&s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "SECRET") || strings.Contains(string(b), "U0VDUkVU") || len(s.Files[0].Data) == 0 {
		t.Errorf("the note holds a file's data, or the spec lost it: %s", b)
	}
}

func TestRunDirs(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"run/lock/sub/deep", "run/hardnode", "run/postgresql"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/etc", filepath.Join(root, "run/link"))
	d, err := sys.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []string
	for _, r := range runDirs(d, host.Image{}.Has) {
		got = append(got, fmt.Sprintf("%s %o", r.Path, r.Mode))
	}
	slices.Sort(got)
	if want := []string{"lock 755", "lock/sub 755", "postgresql 755"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	os.RemoveAll(filepath.Join(root, "run"))
	os.Symlink("/etc", filepath.Join(root, "run"))
	if got := runDirs(d, host.Image{}.Has); len(got) != 0 {
		t.Errorf("/run that is a link gave %+v", got)
	}
}

// TestTerminalOfAnImpostor: a container that puts something else in the place of its ptmx gets no terminal opened.
func TestTerminalOfAnImpostor(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "dev/pts"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := sys.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ptmx := filepath.Join(root, "dev/pts/ptmx")
	for what, put := range map[string]func() error{
		"a file":            func() error { return os.WriteFile(ptmx, nil, 0o666) },
		"a link to a real":  func() error { return os.Symlink("/dev/ptmx", ptmx) },
		"a link to nowhere": func() error { return os.Symlink("/proc/self/fd/0", ptmx) },
	} {
		os.Remove(ptmx)
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if m, s, err := sys.OpenPTY(d, 0); err == nil {
			m.Close()
			s.Close()
			t.Errorf("%s was opened as a terminal", what)
		}
	}
}
