// Package ask is what a test may ask the probe in a booted host.
//
// Owns: the request and answer types.
// In: JSON lines on the virtio-serial port.
// Out: JSON lines.
// Never: does I/O.
package ask

import "reflect"

// Port is the name of the probe's virtio-serial port.
const Port = "hardnode.probe"

// Request is one question. What selects the fields that matter: "counts", "processes", "memory", "kill", "crash" (PID 1), "read", "list",
// "damage", "fill", "remove", "write".
type Request struct {
	ID     int    `json:"id"`
	What   string `json:"what"`
	Path   string `json:"path,omitempty"`   // on the host; kill: the program's path as in /proc/PID/exe
	Signal int    `json:"signal,omitempty"` // kill: 0 is SIGKILL
	Text   string `json:"text,omitempty"`   // write: what the file has then
}

// Answer answers the request with the same ID.
type Answer struct {
	ID        int       `json:"id"`
	Err       string    `json:"err,omitempty"`
	Counts    *Counts   `json:"counts,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	Memory    *Memory   `json:"memory,omitempty"`
	Killed    []int     `json:"killed,omitempty"` // process ids
	Text      string    `json:"text,omitempty"`   // read
	Names     []string  `json:"names,omitempty"`  // list: of the folder's entries
}

// Counts are what a container that is gone must not leave behind.
type Counts struct {
	Mounts     int `json:"mounts"`     // of PID 1's mount namespace
	MountNS    int `json:"mountns"`    // mount namespaces some process lives in
	NetNS      int `json:"netns"`      // network namespaces some process lives in or a mount holds
	UserNS     int `json:"userns"`     // user namespaces some process lives in
	Cgroups    int `json:"cgroups"`    // directories below /sys/fs/cgroup
	Links      int `json:"links"`      // network interfaces of the host
	Veths      int `json:"veths"`      // those of kind veth
	Addresses  int `json:"addresses"`  // of all interfaces
	Routes     int `json:"routes"`     // IPv4, main table
	Subvolumes int `json:"subvolumes"` // below /data
	Processes  int `json:"processes"`  // without kernel threads
}

// Within tells whether there is no more of anything than in o.
func (c Counts) Within(o Counts) bool {
	is, was := reflect.ValueOf(c), reflect.ValueOf(o)
	for i := range is.NumField() {
		if is.Field(i).Int() > was.Field(i).Int() {
			return false
		}
	}
	return true
}

// Process is one process of the host or of a container; kernel threads are left out. Sizes in bytes.
type Process struct {
	PID    int    `json:"pid"`
	Parent int    `json:"parent"`
	Exe    string `json:"exe"`
	Cgroup string `json:"cgroup"`
	RSS    int64  `json:"rss"`
	PSS    int64  `json:"pss"`
	// Anonymous is what of RSS is the process's own: heap, stacks, written data. The rest is pages of its file.
	Anonymous int64 `json:"anonymous"`
	Start     int64 `json:"start"` // clock ticks since boot: with PID it names a process for good
	CPU       int64 `json:"cpu"`   // clock ticks of processor time that it used
}

// Ticks are those of a second (USER_HZ, time(7)).
const Ticks = 100

// Memory is the host's, in bytes. Used is MemTotal − MemFree − reclaimable cache (FACTS: what a small guest's MemAvailable hides).
type Memory struct {
	Total, Free, Available, Used int64
}
