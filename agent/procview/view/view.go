// Package view is the file system in which each container has a directory with what it reads of itself.
//
// Owns: the names and numbers of its files, what the kernel may remember of them, how long a text is good for; the answers to the kernel.
// In: the kernel's requests (fuse(4)) from a descriptor that somebody else mounted; figures from a Source.
// Out: answers.
// Never: keeps anything that the next process would need, takes a write, or tells a container of another: what is bound into a container
// are the files of its own directory, so that nobody is asked who reads.
//
// A file's number says whose it is and which, so a process that takes the descriptor over knows all files that the kernel knows. It has
// the kernel send again what the one before it took and did not answer (FUSE_NOTIFY_RESEND, since Linux 6.9).
package view

import (
	"fmt"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"hardnode.dev/agent/procview/load"
	"hardnode.dev/agent/procview/render"
	"hardnode.dev/agent/procview/source"
	"hardnode.dev/internal/wire"
)

// Source is where figures come from.
type Source interface {
	Exists(wire.CTID) bool
	Values(wire.CTID, source.Need) (*render.Values, error)
	Pressure(id wire.CTID, which string) ([]byte, error)
}

// The directories of a container.
const (
	top      = 1
	pressure = 64
)

// Files that grow with the host.
const (
	cpuinfo = 3
	stat    = 4
)

// file is one of a container's directory. Its number and name are fixed for good: a kernel knows them of an older process.
type file struct {
	number uint8
	dir    uint8
	name   string
	need   source.Need
	render func(*render.Values) []byte // nil: a pressure
}

var files = []file{
	{2, top, "meminfo", source.Memory, render.Meminfo},
	{cpuinfo, top, "cpuinfo", 0, render.CPUInfo},
	{stat, top, "stat", source.CPU | source.Load, render.Stat},
	{5, top, "loadavg", source.Load, render.Loadavg},
	{6, top, "uptime", source.CPU, render.Uptime},
	{7, top, "diskstats", source.Disks, render.Diskstats},
	{8, top, "swaps", source.Memory, render.Swaps},
	{9, top, "online", 0, render.Online}, // of /sys/devices/system/cpu
	{65, pressure, "cpu", 0, nil},
	{66, pressure, "io", 0, nil},
	{67, pressure, "memory", 0, nil},
}

const pressureName = "pressure"

// node is a file's number as the kernel has it: the container's above 8 bits, 0 for the root of all.
func node(id wire.CTID, number uint8) uint64 { return uint64(id)<<8 | uint64(number) }

func split(n uint64) (id wire.CTID, number uint8) { return wire.CTID(n >> 8), uint8(n) }

// find is a file by its number.
func find(number uint8) *file {
	for i := range files {
		if files[i].number == number {
			return &files[i]
		}
	}
	return nil
}

const (
	// remembered is how long the kernel may keep a name, or what stat(2) says of a directory: neither ever changes.
	remembered = time.Hour
	// size is what stat(2) says of a file, as in /sys: sendfile(2), by which some programs copy, ends there, and tail(1) reads from there
	// back where it is more than a block. A longer text has its own. The kernel asks each time, for it shrinks what it finds shorter.
	size = 4096
	// fresh is how long a text is shown again: a container that reads without end costs no more than ten readings a second.
	fresh = 100 * time.Millisecond
	// heldMost is how many bytes of texts are kept for readers that are in the middle of one.
	heldMost = 1 << 20
)

// View answers. Make one with New.
type View struct {
	fuse.RawFileSystem
	src Source

	mu struct {
		sync.Mutex
		texts  map[uint64]text   // by node: what was rendered last
		held   map[uint64][]byte // by open file: what it reads
		bytes  int               // of both
		handle uint64            // the last open file's
	}
}

type text struct {
	b    []byte
	when time.Time
}

// New makes a View of what src knows.
func New(src Source) *View {
	v := &View{RawFileSystem: fuse.NewDefaultRawFileSystem(), src: src}
	v.mu.texts, v.mu.held = map[uint64]text{}, map[uint64][]byte{}
	v.mu.handle = uint64(time.Now().UnixNano()) // no number of an older process's
	return v
}

// String names the file system.
func (v *View) String() string { return "procview" }

// attr is what stat(2) says of a node, and how long that is so.
func attr(n uint64) (fuse.Attr, time.Duration) {
	if _, number := split(n); number == top || number == pressure {
		return fuse.Attr{Ino: n, Mode: fuse.S_IFDIR | 0o555, Nlink: 2, Blksize: 4096}, remembered
	}
	return fuse.Attr{Ino: n, Mode: fuse.S_IFREG | 0o444, Nlink: 1, Blksize: 4096, Size: size}, 0
}

// child is what a directory has under a name.
func (v *View) child(dir uint64, name string) (uint64, bool) {
	id, number := split(dir)
	if id == 0 {
		if c, ok := load.ID(name); number == top && ok && v.src.Exists(c) {
			return node(c, top), true
		}
		return 0, false
	}
	if number == top && name == pressureName {
		return node(id, pressure), true
	}
	for _, f := range files {
		if f.dir == number && f.name == name {
			return node(id, f.number), true
		}
	}
	return 0, false
}

// known tells whether a number is one of ours.
func known(n uint64) bool {
	id, number := split(n)
	return number == top || id > 0 && (number == pressure || find(number) != nil)
}

// Lookup finds a name.
func (v *View) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, ok := v.child(h.NodeId, name)
	if !ok {
		return fuse.ENOENT
	}
	found(n, out)
	return fuse.OK
}

// found says what there is under a name.
func found(n uint64, out *fuse.EntryOut) {
	a, valid := attr(n)
	out.NodeId, out.Attr = n, a
	out.SetEntryTimeout(remembered)
	out.SetAttrTimeout(valid)
}

// GetAttr is stat(2).
func (v *View) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if !known(in.NodeId) {
		return fuse.ENOENT
	}
	a, valid := attr(in.NodeId)
	if _, number := split(in.NodeId); number == cpuinfo || number == stat { // which have a part for each processor
		if b, err := v.text(in.NodeId, 0, false); err == nil {
			a.Size = max(a.Size, uint64(len(b)))
		}
	}
	out.Attr = a
	out.SetTimeout(valid)
	return fuse.OK
}

// Open opens a file for reading: nothing of it is kept by the kernel.
func (v *View) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if _, number := split(in.NodeId); find(number) == nil {
		return fuse.ENOENT
	}
	if in.Flags&fuse.O_ANYWRITE != 0 {
		return fuse.EROFS
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.handle++
	out.Fh, out.OpenFlags = v.mu.handle, fuse.FOPEN_DIRECT_IO|fuse.FOPEN_NOFLUSH
	return fuse.OK
}

// Read gives a part of a text. Who reads on gets the rest of what it began with, if that is still there.
func (v *View) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	b, err := v.text(in.NodeId, in.Fh, in.Offset > 0)
	if err != nil {
		return nil, fuse.EIO
	}
	if in.Offset >= uint64(len(b)) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	return fuse.ReadResultData(b[in.Offset:min(uint64(len(b)), in.Offset+uint64(len(buf)))]), fuse.OK
}

// text is what an open file reads; on says that it has begun already.
func (v *View) text(n, handle uint64, on bool) ([]byte, error) {
	now := time.Now()
	v.mu.Lock()
	held, begun := v.mu.held[handle]
	last, has := v.mu.texts[n]
	v.mu.Unlock()
	switch {
	case on && begun:
		return held, nil
	case has && now.Sub(last.when) < fresh && now.After(last.when.Add(-fresh)):
		v.keep(n, handle, last)
		return last.b, nil
	}
	b, err := v.render(n)
	if err != nil {
		return nil, err
	}
	v.keep(n, handle, text{b, now})
	return b, nil
}

// keep remembers what was shown. When that is too much, all is forgotten: texts are cheap.
func (v *View) keep(n, handle uint64, t text) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.bytes += weight(t.b) - weight(v.mu.held[handle]) + weight(t.b) - weight(v.mu.texts[n].b)
	if v.mu.bytes > heldMost {
		clear(v.mu.texts)
		clear(v.mu.held)
		v.mu.bytes = 2 * weight(t.b)
	}
	v.mu.texts[n], v.mu.held[handle] = t, t.b
}

// weight is what a kept text costs.
func weight(b []byte) int {
	if b == nil {
		return 0
	}
	return len(b) + 128
}

// render makes the text of a file.
func (v *View) render(n uint64) ([]byte, error) {
	id, number := split(n)
	f := find(number)
	if f == nil {
		return nil, fmt.Errorf("read file %d of container %s: there is none", number, id)
	}
	if f.render == nil {
		return v.src.Pressure(id, f.name)
	}
	values, err := v.src.Values(id, f.need)
	if err != nil {
		return nil, err
	}
	return f.render(values), nil
}

// Release forgets an open file.
func (v *View) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.bytes -= weight(v.mu.held[in.Fh])
	delete(v.mu.held, in.Fh)
}

// OpenDir is not needed: the kernel asks for it once.
func (v *View) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return fuse.ENOSYS
}

// list is what a directory has, from an entry on. The root's is not listed: who has a container finds it by its number.
func list(dir, from uint64) []fuse.DirEntry {
	id, number := split(dir)
	if id == 0 {
		return nil
	}
	var all []fuse.DirEntry
	for _, f := range files {
		if f.dir == number {
			all = append(all, fuse.DirEntry{Name: f.name, Mode: fuse.S_IFREG, Ino: node(id, f.number)})
		}
	}
	if number == top {
		all = append(all, fuse.DirEntry{Name: pressureName, Mode: fuse.S_IFDIR, Ino: node(id, pressure)})
	}
	for i := range all {
		all[i].Off = uint64(i + 1)
	}
	return all[min(from, uint64(len(all))):]
}

// ReadDir lists a directory.
func (v *View) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for _, e := range list(in.NodeId, in.Offset) {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

// ReadDirPlus lists a directory with what Lookup says of each name, so that one request tells the kernel all of a container.
func (v *View) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for _, e := range list(in.NodeId, in.Offset) {
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			break
		}
		found(e.Ino, entry)
	}
	return fuse.OK
}

// StatFs says that there is no space to speak of.
func (v *View) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: 4096, NameLen: 255}
	return fuse.OK
}
