package service

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/internal/wire/jem"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want call
		err  string
	}{
		{"", call{"", 100}, ""},
		{"nginx", call{"nginx", 100}, ""},
		{"nginx --tail 5", call{"nginx", 5}, ""},
		{"--tail 5 getty@tty1.service", call{"getty@tty1.service", 5}, ""},
		{"--tail 0", call{}, "is no number of lines"},
		{"--tail 10001", call{}, "is no number of lines"},
		{"--tail", call{}, "is not known"},
		{"-M host", call{}, "is not known"},
		{"a b", call{}, "one unit is enough"},
		{"a;b", call{}, "is no unit name"},
		{"../x", call{}, "is no unit name"},
	} {
		got, err := parse(strings.Fields(c.args))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %+v %v, want %+v %q", c.args, got, err, c.want, c.err)
		}
	}
}

func TestProcesses(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	proc := fstest.MapFS{
		"1/status":   file("Name:\tnginx\nState:\tS (sleeping)\nVmRSS:\t    2048 kB\n"),
		"1/cmdline":  file("nginx: master\x00-g\x00daemon off;\x00"),
		"12/status":  file("Name:\tnginx\nState:\tR (running)\n"),
		"12/cmdline": file(""),
		"30/status":  file("Name:\tjem\n"),
		"self/stat":  file("30 (jem) R"),
		"sys/x":      file(""),
		"7/cmdline":  file("gone"),
	}
	got, err := processes(proc, "")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(got)
	want := `[{"name":"nginx","state":"active","sub":"S","description":"nginx: master -g daemon off;","pid":1,"memoryBytes":2097152},{"name":"nginx","state":"active","sub":"R","pid":12}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if got, _ := processes(proc, "redis"); len(got) != 0 {
		t.Errorf("redis: got %+v", got)
	}
}

func TestInitOf(t *testing.T) {
	root := t.TempDir()
	if got := InitOf(root); got != jem.InitApp {
		t.Errorf("empty root: %s", got)
	}
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := InitOf(root); got != jem.InitSystemd {
		t.Errorf("with /run/systemd/system: %s", got)
	}
}

func TestProperties(t *testing.T) {
	var s jem.Service
	properties(&s, map[string]any{"MainPID": uint32(7), "MemoryCurrent": ^uint64(0), "NRestarts": uint32(2),
		"ActiveEnterTimestamp": uint64(1_000_000)})
	if s.PID != 7 || s.MemoryBytes != 0 || s.Restarts != 2 || !s.Since.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v", s)
	}
}

func TestJournalLines(t *testing.T) {
	in := `{"__REALTIME_TIMESTAMP":"1000000","_SYSTEMD_UNIT":"a.service","PRIORITY":"3","MESSAGE":"bad"}
{"__REALTIME_TIMESTAMP":"2000000","MESSAGE":[104,105,255]}
{"__REALTIME_TIMESTAMP":"x","MESSAGE":"no time"}
not json
{"__REALTIME_TIMESTAMP":"3000000","PRIORITY":"9","MESSAGE":null}
`
	got, err := journalLines(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(got)
	want := `[{"time":"1970-01-01T00:00:01Z","unit":"a.service","priority":3,"text":"bad"},{"time":"1970-01-01T00:00:02Z","priority":6,"text":"hi` + "\uFFFD" + `"},{"time":"1970-01-01T00:00:03Z","priority":6,"text":""}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestJournalIsBounded(t *testing.T) {
	line := `{"__REALTIME_TIMESTAMP":"1000000","MESSAGE":"` + strings.Repeat("x", 10000) + `"}` + "\n"
	got, err := journalLines(strings.NewReader(strings.Repeat(line, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(jem.Reply{Version: 1, Init: jem.InitSystemd, Lines: got})
	if _, err := jem.Decode(b); err != nil || len(got) < 50 {
		t.Errorf("%d lines: %v", len(got), err)
	}
}

// fakeSystemd has one unit.
type fakeSystemd struct {
	load, active, result string
	can                  bool
	jobs                 []string
}

func (f *fakeSystemd) close() {}

func (f *fakeSystemd) property(_ context.Context, unit, name string) any {
	if unit != "nginx.service" {
		return nil
	}
	return map[string]any{"LoadState": f.load, "ActiveState": f.active, "CanReload": f.can}[name]
}

func (f *fakeSystemd) job(_ context.Context, unit, verb string) (string, error) {
	f.jobs = append(f.jobs, verb+" "+unit)
	return f.result, nil
}

func (f *fakeSystemd) enable(_ context.Context, unit string, on bool) error {
	f.jobs = append(f.jobs, fmt.Sprint(unit, " ", on))
	return nil
}

// root is a container's root with these files; one ending in / is a directory, one in @ a link.
func root(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		p := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if link, ok := strings.CutSuffix(p, "@"); ok {
			if err := os.Symlink(text, link); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func serve(t *testing.T, root string, argv ...string) (jem.Reply, *contract.Call) {
	t.Helper()
	c := &contract.Call{Root: root, Now: time.Now}
	contract.Serve(t.Context(), []contract.Module{Module}, append([]string{"service"}, argv...), c)
	return c.Reply, c
}

func TestChangeOfUnits(t *testing.T) {
	for _, c := range []struct {
		argv   string
		bus    fakeSystemd
		did    string
		code   string
		reason string
	}{
		{"start nginx", fakeSystemd{load: "loaded", active: "active", result: "done"}, "start nginx.service", "ok",
			"start of nginx.service: it is active"},
		{"stop nginx", fakeSystemd{load: "loaded", active: "inactive", result: "done"}, "stop nginx.service", "ok", "it is inactive"},
		{"start nginx", fakeSystemd{load: "loaded", active: "failed", result: "failed"}, "start nginx.service", "unavailable",
			`ended with "failed"`},
		{"restart nginx", fakeSystemd{load: "loaded", active: "failed", result: "done"}, "restart nginx.service", "unavailable",
			"has failed"},
		{"reload nginx", fakeSystemd{load: "loaded", active: "active", result: "done", can: true}, "reload nginx.service", "ok", ""},
		{"reload nginx", fakeSystemd{load: "loaded", active: "active", result: "done"}, "", "conflict", "can't be reloaded"},
		{"reload nginx", fakeSystemd{load: "loaded", active: "inactive", result: "done", can: true}, "", "conflict", "is not started"},
		{"enable nginx", fakeSystemd{load: "loaded", active: "active"}, "nginx.service true", "ok", ""},
		{"disable nginx", fakeSystemd{load: "loaded", active: "active"}, "nginx.service false", "ok", ""},
		{"start nginx", fakeSystemd{load: "masked"}, "", "conflict", "is masked"},
		{"start other", fakeSystemd{load: "loaded"}, "", "not_found", "there is no unit other.service"},
		{"start", fakeSystemd{}, "", "invalid", "a unit is needed"},
		{"start a;b", fakeSystemd{}, "", "invalid", "is no unit name"},
	} {
		connect = func(context.Context) (systemd, error) { return &c.bus, nil }
		r, _ := serve(t, root(t, "run/systemd/system/"), strings.Fields(c.argv)...)
		if strings.Join(c.bus.jobs, ",") != c.did || r.Code != c.code || !strings.Contains(r.Message, c.reason) {
			t.Errorf("%s: %v, %+v", c.argv, c.bus.jobs, r)
		}
	}
}

func TestChangeOfOpenRC(t *testing.T) {
	script := "#!/bin/sh\necho $0 $* | sed 's,.*/,,'\n"
	dir := root(t, "run/openrc/softlevel", "sbin/rc-service="+script, "sbin/rc-update="+script, "etc/init.d/nginx="+script)
	for argv, said := range map[string]string{"restart nginx": "rc-service nginx restart\n",
		"enable nginx":  "rc-update add nginx default\n",
		"disable nginx": "rc-update del nginx default\n"} {
		if r, _ := serve(t, dir, strings.Fields(argv)...); r.Said != said || r.Code != "ok" {
			t.Errorf("%s: %+v", argv, r)
		}
	}
	if r, _ := serve(t, dir, "start", "none"); r.Code != "not_found" {
		t.Errorf("none: %+v", r)
	}
}

// TestUnitsOf: a program is a unit's if that started it, itself or by a script; not if a job or a person did.
func TestUnitsOf(t *testing.T) {
	var files []string
	for pid, p := range map[int]struct {
		parent      int
		exe, cgroup string
	}{
		1:  {0, "systemd", "init.scope"},
		10: {1, "java", "system.slice/app.service"},
		20: {1, "dash", "system.slice/by-script.service/sub"},
		21: {20, "java (deleted)", "system.slice/by-script.service/sub"},
		22: {20, "java", "system.slice/by-script.service/sub"},
		30: {1, "cron", "system.slice/cron.service"},
		31: {30, "cron", "system.slice/cron.service"},
		32: {31, "java", "system.slice/cron.service"},
		40: {1, "java", "user.slice/user-0.slice/user@0.service/app.slice/own.service"},
		50: {1, "java", "user.slice/user-0.slice/session-1.scope"},
		60: {1, "node", "system.slice/system-web.slice/web@1.service"},
	} {
		files = append(files, fmt.Sprintf("proc/%d/status=Name:\tx\nPPid:\t%d\n", pid, p.parent),
			fmt.Sprintf("proc/%d/cgroup=0::/%s\n", pid, p.cgroup), fmt.Sprintf("proc/%d/exe@=/usr/bin/%s", pid, p.exe))
	}
	dir := root(t, files...)
	for name, want := range map[string]string{"java": "app.service by-script.service", "node nodejs": "web@1.service", "ruby": ""} {
		if got := UnitsOf(dir, strings.Fields(name)...); strings.Join(got, " ") != want {
			t.Errorf("units of %s: %q, want %q", name, got, want)
		}
	}
}

// TestStatusOfOpenRC: services that run or are to run with the container, with the state that OpenRC keeps.
func TestStatusOfOpenRC(t *testing.T) {
	dir := root(t, "run/openrc/softlevel", "sbin/rc-service=#!/bin/sh\n", "etc/init.d/nginx=x", "etc/init.d/cron=x", "etc/init.d/sshd=x",
		"etc/init.d/other=x", "etc/runlevels/default/sshd", "run/openrc/started/nginx", "run/openrc/failed/cron", "etc/init.d/redis=x",
		"run/openrc/started/redis", "bin/rc-status=#!/bin/sh\n[ $* = --crashed ] && echo redis\n",
		"etc/init.d/postfix=#!/bin/sh\ncase $1 in status) exit 3;; esac\n", "etc/runlevels/default/postfix", "run/openrc/started/postfix",
		"etc/init.d/mounts=#!/bin/sh\ncase $1 in status) exit 3;; esac\n", "etc/runlevels/sysinit/mounts", "run/openrc/started/mounts",
		"etc/init.d/rpc=#!/sbin/openrc-run\n# status)\n", "run/openrc/started/rpc")
	if got := FailedOfOpenRC(t.Context(), dir); strings.Join(got, " ") != "cron redis" {
		t.Errorf("failed are %q", got)
	}
	for argv, want := range map[string]string{"status": "cron failed, mounts active, nginx active, postfix inactive, redis failed, " +
		"rpc active, sshd inactive", "status postfix": "postfix inactive",
		"status nginx": "nginx active", "status redis": "redis failed", "status other": "other inactive", "status none": ""} {
		r, _ := serve(t, dir, strings.Fields(argv)...)
		var got []string
		for _, s := range r.Services {
			got = append(got, s.Name+" "+string(s.State))
		}
		if strings.Join(got, ", ") != want || (r.Code == "not_found") != (want == "") {
			t.Errorf("%s: %v, %+v", argv, got, r)
		}
	}
}

// TestStartedGoesOn: a service that a script starts and leaves in its own group of processes runs on, among those of the init.
func TestStartedGoesOn(t *testing.T) {
	const script = "#!/bin/sh\n{ read verb < ${0%/*}/asked; echo $verb > ${0%/*}/answer; } > /dev/null 2>&1 &\n"
	dir := root(t, "proc/1/status=Name:\tinit\nPPid:\t0\n", "proc/1/cgroup=0::/init\n", "sys/fs/cgroup/init/cgroup.procs=",
		"bin/sh@=/bin/sh", "etc/init.d/slow="+script)
	if err := syscall.Mkfifo(filepath.Join(dir, "etc/init.d/asked"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked, err := os.OpenFile(filepath.Join(dir, "etc/init.d/asked"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	for _, verb := range []string{"start", "restart"} {
		if r, _ := serve(t, dir, verb, "slow"); r.Code != "ok" {
			t.Fatalf("%s: %+v", verb, r)
		}
		fmt.Fprintln(asked, verb)
		answers := func() bool {
			raw, _ := os.ReadFile(filepath.Join(dir, "etc/init.d/answer"))
			return string(raw) == verb+"\n"
		}
		for end := time.Now().Add(10 * time.Second); !answers(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the service is gone", verb)
			}
		}
		if moved, _ := os.ReadFile(filepath.Join(dir, "sys/fs/cgroup/init/cgroup.procs")); string(moved) != "0\n" {
			t.Errorf("%s: it is not among the init's processes: %q", verb, moved)
		}
	}
}

// TestSysV: scripts are called as they are, what starts with the container is kept by whoever is there, and a script says how it is.
func TestSysV(t *testing.T) {
	const script = "#!/bin/sh\necho ${0##*/} $*\n[ $1 != status ] || exit $(cat ${0%/*}/../code)\n" +
		"[ $1 != reload ] || { echo Usage; exit 3; }\n"
	files := []string{"proc/1/status=Name:\tinit\nPPid:\t0\n", "etc/init.d/cron=" + script, "etc/code=0"}
	dir := root(t, append(files, "usr/sbin/update-rc.d="+script)...)
	for argv, want := range map[string]string{"start cron": "ok cron start\n", "restart cron": "ok cron restart\n",
		"enable cron": "ok update-rc.d cron defaults\nupdate-rc.d cron enable\n", "disable cron": "ok update-rc.d cron disable\n",
		"reload cron": "unavailable cron reload\nUsage\n", "start none": "not_found ", "start": "invalid ", "status none": "not_found ",
		"status cron": "ok cron status\n"} {
		if r, _ := serve(t, dir, strings.Fields(argv)...); r.Code+" "+r.Said != want {
			t.Errorf("%s: %+v", argv, r)
		}
	}
	for code, want := range map[string]string{"0": "active", "1": "failed", "3": "inactive", "4": ""} {
		if err := os.WriteFile(filepath.Join(dir, "etc/code"), []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := serve(t, dir, "status", "cron")
		if (r.Code == "ok") != (want != "") || want != "" && string(r.Services[0].State) != want {
			t.Errorf("status with exit code %s: %+v", code, r)
		}
	}
	if r, _ := serve(t, root(t, files...), "enable", "cron"); r.Code != "unavailable" || !strings.Contains(r.Message, "rc-update or") {
		t.Errorf("without a program for it: %+v", r)
	}
	chkconfig := root(t, append(files, "sbin/chkconfig="+script)...)
	if r, _ := serve(t, chkconfig, "disable", "cron"); r.Said != "chkconfig cron off\n" {
		t.Errorf("chkconfig: %+v", r)
	}
}

func TestChangeOfTheOneProgram(t *testing.T) {
	for _, c := range []struct {
		argv, status string
		code, reason string
		ends         bool
	}{
		{"restart", "Name:\tnginx\nPPid:\t0\nSigCgt:\t0000000000004000\n", "ok", "the host starts it anew", true},
		{"restart nginx", "Name:\tnginx\nPPid:\t0\nSigCgt:\t0000000000004000\n", "ok", "", true},
		{"restart redis", "Name:\tnginx\nPPid:\t0\nSigCgt:\t0000000000004000\n", "not_found", `is "nginx", not "redis"`, false},
		{"restart", "Name:\tsleep\nPPid:\t0\nSigCgt:\t0000000000000000\n", "conflict", "takes no notice of SIGTERM", false},
		{"reload", "Name:\tnode\nPPid:\t0\nSigCgt:\t0000000000004001\n", "conflict", "has no signal", false},
		{"reload", "Name:\tnginx\nPPid:\t0\nSigCgt:\t0000000000004000\n", "conflict", "has no signal", false},
		{"start", "Name:\tnginx\n", "unavailable", "has no service manager", false},
		{"restart", "", "internal", "no first process", false},
	} {
		dir := root(t, "proc/")
		if c.status != "" {
			dir = root(t, "proc/1/status="+c.status)
		}
		r, call := serve(t, dir, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.reason) || r.Ends != c.ends || (call.After != nil) != c.ends {
			t.Errorf("%s of %q: %+v", c.argv, c.status, r)
		}
	}
}

func TestSupervised(t *testing.T) {
	dir := root(t, "proc/1/status=Name:\treaper\nPPid:\t0\n", "proc/9/status=Name:\tnginx\nPPid:\t1\nSigCgt:\t1\n",
		"proc/12/status=Name:\torphan\nPPid:\t1\n", "proc/self/status=Name:\tjem\n")
	s, err := supervisedIn(os.DirFS(filepath.Join(dir, "proc")))
	if err != nil || s.pid != 9 || s.comm != "nginx" || !s.reaper || !s.catches(hup) || s.catches(term) {
		t.Errorf("%+v %v", s, err)
	}
}

// TestServerIn: of a server that a script has started, the first process is told, not a worker.
func TestServerIn(t *testing.T) {
	status := func(pid, comm, parent, caught string) string {
		return "proc/" + pid + "/status=Name:\t" + comm + "\nPPid:\t" + parent + "\nSigCgt:\t" + caught + "\n"
	}
	dir := root(t, status("1", "hardnode-php", "0", "1"), status("9", "php-fpm8.2", "20", "800"), status("20", "php-fpm8.2", "1", "800"),
		status("21", "nginx", "1", "1"), status("22", "nginx", "21", "1"))
	for name, pid := range map[string]int{"php-fpm": 20, "nginx": 21, "postgres": 0} {
		if s, there := serverIn(os.DirFS(filepath.Join(dir, "proc")), name); s.pid != pid || there != (pid != 0) {
			t.Errorf("%s: %+v, %v", name, s, there)
		}
	}
	if r, _ := serve(t, dir, "restart", "php-fpm"); r.Code != "not_found" {
		t.Errorf("a restart of what is not the one program: %+v", r)
	}
}

func TestLacksJournal(t *testing.T) {
	if r, _ := serve(t, root(t, "proc/"), "logs"); r.Code != "unavailable" || !strings.Contains(r.Message, "the host keeps the output") {
		t.Errorf("%+v", r)
	}
}
