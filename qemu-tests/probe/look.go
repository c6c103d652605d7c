package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/qemu-tests/harness/ask"
)

// host is the host's root as its PID 1 sees it.
const host = proc + "/1/root"

func answer(q ask.Request) (d ask.Answer, err error) {
	switch q.What {
	case "counts":
		var c ask.Counts
		c, err = counts()
		d.Counts = &c
	case "processes":
		d.Processes, err = processes()
	case "memory":
		var m ask.Memory
		m, err = memory()
		d.Memory = &m
	case "read":
		var b []byte
		b, err = os.ReadFile(host + q.Path)
		d.Text = string(b)
	case "list":
		var all []fs.DirEntry
		all, err = os.ReadDir(host + q.Path)
		for _, e := range all {
			d.Names = append(d.Names, e.Name())
		}
	case "damage":
		err = damage(host + q.Path)
	case "fill":
		err = fill(host + q.Path)
	case "remove":
		err = os.Remove(host + q.Path)
	case "write":
		err = os.WriteFile(host+q.Path, []byte(q.Text), 0o600)
	case "crash":
		err = syscall.Kill(1, syscall.SIGABRT) // Go's runtime ends by it
	case "kill":
		d.Killed, err = kill(q.Path, syscall.Signal(q.Signal))
	default:
		err = fmt.Errorf("what %q: is not known", q.What)
	}
	return d, err
}

// kill signals every process of a program.
func kill(exe string, sig syscall.Signal) ([]int, error) {
	if sig == 0 {
		sig = syscall.SIGKILL
	}
	ids, err := pids()
	var killed []int
	for _, id := range ids {
		if at, err := os.Readlink(fmt.Sprintf("%s/%d/exe", proc, id)); err == nil && at == exe && id != 1 {
			switch e := syscall.Kill(id, sig); {
			case e == nil:
				killed = append(killed, id)
			case !errors.Is(e, syscall.ESRCH): // it ended with one that was killed before it
				return killed, fmt.Errorf("kill %d: %v", id, e)
			}
		}
	}
	if err == nil && len(killed) == 0 {
		err = fmt.Errorf("kill %s: no such process", exe)
	}
	return killed, err
}

// damage turns one bit in the middle of a file round, as a failing disk does.
func damage(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	b, at := make([]byte, 1), st.Size()/2
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.Close()
}

// fill makes a file that takes all that is free on its disk.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	for step := int64(256 << 20); step >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); err {
		case nil:
			at += step
		case unix.ENOSPC:
			step /= 4
		case unix.EINTR:
		default:
			return fmt.Errorf("fill %s: %v", path, err)
		}
	}
	return f.Sync()
}

func pids() ([]int, error) {
	list, err := os.ReadDir(proc)
	var out []int
	for _, e := range list {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, n)
		}
	}
	return out, err
}

// processes lists all but kernel threads (which have no exe) and the probe itself.
func processes() ([]ask.Process, error) {
	ids, err := pids()
	var out []ask.Process
	for _, id := range ids {
		at := fmt.Sprintf("%s/%d", proc, id)
		exe, err := os.Readlink(at + "/exe")
		if err != nil || id == os.Getpid() {
			continue
		}
		p := ask.Process{PID: id, Exe: exe}
		if b, err := os.ReadFile(at + "/cgroup"); err == nil {
			p.Cgroup = strings.TrimPrefix(strings.TrimSpace(string(b)), "0::")
		}
		if b, err := os.ReadFile(at + "/stat"); err == nil {
			if _, rest, ok := strings.Cut(string(b), ") "); ok { // fields from 3 on, proc(5)
				f := strings.Fields(rest)
				p.Parent, _ = strconv.Atoi(f[1])
				p.Start, _ = strconv.ParseInt(f[19], 10, 64)
				user, _ := strconv.ParseInt(f[11], 10, 64)
				system, _ := strconv.ParseInt(f[12], 10, 64)
				p.CPU = user + system
			}
		}
		m := sizes(at + "/smaps_rollup")
		p.RSS, p.PSS, p.Anonymous = m["Rss"], m["Pss"], m["Anonymous"]
		out = append(out, p)
	}
	return out, err
}

// sizes reads a file of "Name:  123 kB" lines into bytes.
func sizes(path string) map[string]int64 {
	out := map[string]int64{}
	b, err := os.ReadFile(path)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(b)) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
			out[name] = n << 10
		}
	}
	return out
}

func memory() (ask.Memory, error) {
	m := sizes(proc + "/meminfo")
	if m["MemTotal"] == 0 {
		return ask.Memory{}, errors.New("read meminfo: no MemTotal")
	}
	cache := m["Cached"] - m["Shmem"] + m["Buffers"] + m["SReclaimable"]
	return ask.Memory{Total: m["MemTotal"], Free: m["MemFree"], Available: m["MemAvailable"],
		Used: m["MemTotal"] - m["MemFree"] - cache}, nil
}

func counts() (ask.Counts, error) {
	var c ask.Counts
	list, err := processes()
	if err != nil {
		return c, err
	}
	c.Processes = len(list)
	spaces := map[string]map[string]bool{"mnt": {}, "net": {}, "user": {}}
	for _, p := range list {
		for kind, seen := range spaces {
			if l, err := os.Readlink(fmt.Sprintf("%s/%d/ns/%s", proc, p.PID, kind)); err == nil {
				seen[l] = true
			}
		}
	}
	info, err := os.ReadFile(proc + "/1/mountinfo")
	if err != nil {
		return c, err
	}
	s := bufio.NewScanner(strings.NewReader(string(info)))
	for s.Scan() {
		c.Mounts++
		if f := strings.Fields(s.Text()); len(f) > 3 && strings.HasPrefix(f[3], "net:[") {
			spaces["net"][f[3]] = true
		}
	}
	c.MountNS, c.NetNS, c.UserNS = len(spaces["mnt"]), len(spaces["net"]), len(spaces["user"])
	c.Cgroups = directories(host+"/sys/fs/cgroup", func(fs.FileInfo) bool { return true })
	c.Subvolumes = directories(host+"/data", func(st fs.FileInfo) bool { return st.Sys().(*syscall.Stat_t).Ino == btrfs.FirstFreeObject })
	links, err := netlink.LinkList()
	if err != nil {
		return c, fmt.Errorf("list links: %v", err)
	}
	c.Links = len(links)
	for _, l := range links {
		if l.Type() == "veth" {
			c.Veths++
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return c, fmt.Errorf("list addresses: %v", err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return c, fmt.Errorf("list routes: %v", err)
	}
	c.Addresses, c.Routes = len(addrs), len(routes)
	return c, nil
}

// directories counts the directories below a folder for which is says yes; it stays on the folder's filesystem type, not device:
// each btrfs subvolume has a device number of its own.
func directories(top string, is func(fs.FileInfo) bool) int {
	n := 0
	filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if st, err := d.Info(); err == nil && is(st) {
			n++
		}
		if strings.Count(strings.TrimPrefix(path, top), "/") > 6 {
			return fs.SkipDir
		}
		return nil
	})
	return n
}
