package oom

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/kmsg"
)

const (
	summary = "6,901,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/ct/101," +
		"task_memcg=/ct/101/hn-exec-7,task=dd,pid=190,uid=6619136\n"
	victim = "3,902,5000100,-;Memory cgroup out of memory: Killed process 190 (dd) total-vm:208896kB, anon-rss:126976kB, " +
		"file-rss:1024kB, shmem-rss:0kB, UID:6619136 pgtables:300kB oom_score_adj:1000\n"
	group = "6,903,5000200,-;Tasks in /ct/101/hn-exec-7 are going to be killed due to memory.oom.group set\n"
	with  = "3,904,5000300,-;Memory cgroup out of memory: Killed process 189 (sh) total-vm:2048kB, anon-rss:512kB, file-rss:0kB, " +
		"shmem-rss:0kB, UID:6619136 pgtables:30kB oom_score_adj:1000\n"
)

// line takes a record in as the kernel gives it.
func line(l *Log, raw string) {
	if r, ok := kmsg.Parse(raw); ok {
		l.record(r)
	}
}

func TestKills(t *testing.T) {
	dd := Kill{Since: 5000100 * time.Microsecond, PID: 190, Name: "dd", UID: 6619136, Adjust: 1000, Bytes: 125 << 20,
		Cgroup: "/ct/101/hn-exec-7", Limit: "/ct/101"}
	sh := Kill{Since: 5000300 * time.Microsecond, PID: 189, Name: "sh", UID: 6619136, Adjust: 1000, Bytes: 512 << 10, Cgroup: dd.Cgroup,
		Limit: dd.Limit, With: true}
	bare := dd
	bare.Cgroup, bare.Limit = "", ""
	named := func(name string) string { return strings.Replace(victim, "(dd)", "("+name+")", 1) }
	dressed := dd
	dressed.Name = "x) total-vm:1kB"
	for name, c := range map[string]struct {
		records []string
		want    []Kill
	}{
		"one and what goes with it": {[]string{summary, victim, group, strings.Replace(victim, "5000100", "5000250", 1), with},
			[]Kill{dd, sh}},
		"the kernel left its summary out": {[]string{victim}, []Kill{bare}},
		"somebody else's summary":         {[]string{strings.Replace(summary, "pid=190", "pid=19", 1), victim}, []Kill{bare}},
		"written by a program": {[]string{"14" + summary[1:], "11" + victim[1:],
			"30,1,2,-;" + victim[strings.Index(victim, ";")+1:]}, nil},
		"a name that looks like the rest": {[]string{summary, named("x) total-vm:1kB")}, []Kill{dressed}},
		"the machine is short": {[]string{strings.Replace(summary, "oom_memcg=/ct/101,", "global_oom,", 1),
			strings.Replace(victim, "Memory cgroup out", "Out", 1)},
			[]Kill{{Since: dd.Since, PID: 190, Name: "dd", UID: dd.UID, Adjust: 1000, Bytes: dd.Bytes, Cgroup: dd.Cgroup}}},
		"no records": {[]string{"", ";", "3,1;x", "3,x,y,z;Memory cgroup out of memory: Killed process 1 (x) total-vm:",
			"6,1,1,-;oom-kill:constraint=,task_memcg=,pid=,task=", "3,1,1,-;Memory cgroup out of memory: Killed process x (y) total-vm:1kB",
			"3,1,1,-;Memory cgroup out of memory: Killed process 9 (y"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var l Log
			for _, r := range c.records {
				line(&l, r)
			}
			if got := l.Kills(); !reflect.DeepEqual(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestKeepsTheLast(t *testing.T) {
	var l Log
	for i := range 3 * Keep {
		line(&l, strings.NewReplacer("process 190", fmt.Sprint("process ", i+1)).Replace(victim))
	}
	got := l.Kills()
	if len(got) != Keep || got[Keep-1].PID != 3*Keep {
		t.Errorf("%d kills, the last of %d; want %d, %d", len(got), got[len(got)-1].PID, Keep, 3*Keep)
	}
}

func TestWithoutALog(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "kmsg"))
	if err == nil {
		t.Error("a log that is not there was opened")
	}
	if got := l.Kills(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte(victim), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(path); err != nil || len(l.Kills()) != 1 || len(l.Kills()) != 1 {
		t.Errorf("from a file: %+v %v", l.Kills(), err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{summary, victim, group, with, "3,902,5000100,-;Memory cgroup out of memory: Killed process 1 (",
		"6,1,1,-;oom-kill:constraint=,task_memcg=,task=,pid="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var l Log
		line(&l, s)
	})
}
