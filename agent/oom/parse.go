package oom

import (
	"strconv"
	"strings"
)

// choice is what the kernel says before it kills: whose limit was met, and where the process is that it chose.
type choice struct {
	pid           int
	limit, cgroup string
}

// chosen reads dump_oom_summary's line (mm/oom_kill.c): "oom-kill:constraint=…,oom_memcg=…,task_memcg=…,task=…,pid=…,uid=…". Names of
// cgroups below a system container's are the container's own words: only that a path begins with a container's is safe to believe.
func chosen(text string) (c choice, ok bool) {
	rest, ok := strings.CutPrefix(text, "oom-kill:constraint=")
	if !ok {
		return choice{}, false
	}
	before, task, ok := strings.Cut(rest, ",task_memcg=")
	if !ok {
		return choice{}, false
	}
	if _, limit, ok := strings.Cut(before, ",oom_memcg="); ok {
		c.limit = limit
	}
	i := strings.LastIndex(task, ",pid=")
	end := strings.LastIndex(task[:max(i, 0)], ",task=")
	if i < 0 || end < 0 {
		return choice{}, false
	}
	pid, _, _ := strings.Cut(task[i+len(",pid="):], ",")
	n, err := strconv.Atoi(pid)
	c.pid, c.cgroup = n, task[:end]
	return c, err == nil
}

// killed reads __oom_kill_process's line: "Memory cgroup out of memory: Killed process 7 (dd) total-vm:…kB, anon-rss:…kB, file-rss:…kB,
// shmem-rss:…kB, UID:… pgtables:…kB oom_score_adj:…". A name is up to 15 bytes of the process's own choosing.
func killed(text string) (k Kill, ok bool) {
	_, rest, ok := strings.Cut(text, "ut of memory: Killed process ")
	if !ok {
		return Kill{}, false
	}
	pid, rest, ok := strings.Cut(rest, " (")
	i := strings.LastIndex(rest, ") total-vm:")
	if !ok || i < 0 {
		return Kill{}, false
	}
	k.Name = rest[:i]
	var err error
	if k.PID, err = strconv.Atoi(pid); err != nil {
		return Kill{}, false
	}
	for _, f := range strings.FieldsFunc(rest[i:], func(r rune) bool { return r == ' ' || r == ',' }) {
		name, value, _ := strings.Cut(f, ":")
		switch name {
		case "anon-rss", "file-rss", "shmem-rss":
			kib, err := strconv.ParseInt(strings.TrimSuffix(value, "kB"), 10, 64)
			if err != nil {
				return Kill{}, false
			}
			k.Bytes += kib << 10
		case "UID":
			uid, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return Kill{}, false
			}
			k.UID = uint32(uid)
		case "oom_score_adj":
			if k.Adjust, err = strconv.Atoi(value); err != nil {
				return Kill{}, false
			}
		}
	}
	return k, true
}
