package service

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// UnitsOf are the services of systemd that are one of these programs, by the name of its file: their first process executes it, or, where
// that is a script, a child of it does. What a job or a person has started in a service is not that service.
func UnitsOf(root string, names ...string) (units []string) {
	dir := filepath.Join(root, "proc")
	proc := os.DirFS(dir)
	all, _ := fs.Glob(proc, "[0-9]*")
	slices.SortFunc(all, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	for _, pid := range all {
		exe, err := os.Readlink(filepath.Join(dir, pid, "exe"))
		if err != nil || !slices.Contains(names, path.Base(strings.TrimSuffix(exe, " (deleted)"))) {
			continue
		}
		_, parent, err := readProcess(proc, pid)
		if err == nil && parent > 1 {
			_, parent, err = readProcess(proc, strconv.Itoa(parent))
		}
		raw, gerr := fs.ReadFile(proc, pid+"/cgroup")
		if unit := unitIn(string(raw)); err == nil && gerr == nil && parent == 1 && unit != "" && !slices.Contains(units, unit) {
			units = append(units, unit)
		}
	}
	return units
}

// unitIn is the system's service in what a process' cgroup file says (proc_pid_cgroup(5), version 2); "" is none. A user's services are
// those of a systemd of their own.
func unitIn(cgroup string) string {
	_, at, _ := strings.Cut(strings.TrimSpace(cgroup), "0::/")
	for part := range strings.SplitSeq(at, "/") {
		if strings.HasPrefix(part, "user@") {
			return ""
		}
		if strings.HasSuffix(part, ".service") && unitName.MatchString(part) {
			return part
		}
	}
	return ""
}
