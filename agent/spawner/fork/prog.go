// Package fork runs a prepared list of system calls in a child made by a raw clone, and ends it with execve.
//
// Owns: Prog (the list), its interpreter, the process that makes the clones, and the lists that start a container and join one.
// In: typed specs and descriptors.
// Out: a child's pid, or an error that names the step and its errno.
// Never: allocates, locks or grows a stack in the child: between clone and execve a Go program may only make raw system calls.
//
// Why lists: setns into a user namespace needs a single-threaded process, which a Go program only is in the child of a raw clone
// (golang/go#12125). A list of calls is prepared and checked in ordinary Go, printed by tests, and run by one small loop.
//
// Why a process of its own makes the clones (Forker): a clone of this one would write-protect all its memory and copy each page that
// either side touches next, some hundred a start, and every container's first process would begin with a copy of what this one knows.
package fork

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// slotCount is how many results of earlier calls a list can use.
const slotCount = 64

// firstHanded is the number of the first descriptor that a program is handed (sd_listen_fds(3), SD_LISTEN_FDS_START).
const firstHanded = 3

// Slot is the place of an earlier call's result; it can be an argument of later calls.
type Slot int

// mem is an argument that points into the arena; text is how it prints.
type mem struct {
	p    unsafe.Pointer
	text string
}

// kind tells the interpreter's few built-in steps from system calls.
type kind uint8

const (
	kindCall   kind = iota
	kindKeep        // closes all descriptors but the a[1] at a[0], which are in order
	kindGate        // reads a[0]: goes on when a byte comes, ends when the other end is closed
	kindReap        // clone; the parent becomes the reaping init, the child goes on
	kindInside      // getcwd must be reachable from the root
)

// op is one step as the interpreter reads it: no pointers Go would move, no slices.
type op struct {
	nr   uintptr
	a    [6]uintptr
	dst  uintptr    // slot for the result; slotCount for none
	ok   [3]uintptr // errno that don't end the list; 0 unused
	skip uintptr    // how many of the following steps are left out after such an errno
	from uint8      // bit i: a[i] is a slot's number
	kind kind
}

// said is how a step was added: it becomes text only when someone reads it, for a list has hundreds of steps and most starts succeed.
type said struct {
	what  string
	args  []any
	blame bool   // its failing is the image's or the command's fault
	plain string // what is said to people when it fails, in place of the step; the errno follows
}

// Prog is a list of system calls under construction. The steps and what their arguments point to lie in an arena that the forking
// process sees too.
type Prog struct {
	ops    []op
	said   []said // one a step, for errors and tests
	arena  []byte // what is left of it
	full   bool   // it did not suffice: the list can't be run
	keep   []int  // descriptors of the maker that the list uses
	handed int    // how many the program has
	slots  int
	free   []Slot // closed ones, for the next results
}

// maxOps is the most steps of a list: some hundred for a container, ten for each of its mounts and directories.
const maxOps = 4096

// newProg begins a list in an arena, which must be aligned as a page is.
func newProg(arena []byte) *Prog {
	p := &Prog{arena: arena, said: make([]said, 0, 512)} // what most starts need
	p.ops = unsafe.Slice((*op)(p.alloc(maxOps*unsafe.Sizeof(op{}))), maxOps)[:0]
	p.add(kindKeep, "close what the list does not use", 0, nil)
	return p
}

// use says that the list uses descriptors of its maker. Others' would be held open by a child that waits, and end too late.
func (p *Prog) use(fds ...int) { p.keep = append(p.keep, fds...) }

// seal fills in the first step, when all descriptors are known.
func (p *Prog) seal() {
	slices.Sort(p.keep)
	list := unsafe.Slice((*uintptr)(p.alloc(uintptr(len(p.keep))*unsafe.Sizeof(uintptr(0)))), len(p.keep))
	for i, fd := range p.keep {
		list[i] = uintptr(fd)
	}
	p.ops[0].a[0], p.ops[0].a[1] = uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list))
}

// alloc takes n bytes of the arena, aligned for any word. They hold what an earlier list left there.
func (p *Prog) alloc(n uintptr) unsafe.Pointer {
	n = (n + 7) &^ 7
	if n > uintptr(len(p.arena)) {
		p.full = true
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, n/8+1))) // the list goes on being built, for nothing
	}
	at := unsafe.Pointer(unsafe.SliceData(p.arena))
	p.arena = p.arena[n:]
	return at
}

// Step is one step just added; its methods refine it.
type Step struct {
	p *Prog
	i int
}

// Call adds system call nr. what names the step in errors: verb and object. Arguments are integers, Slots, strings (passed as C
// strings) or memory made by this package.
func (p *Prog) Call(what string, nr uintptr, args ...any) Step {
	return p.add(kindCall, what, nr, args)
}

func (p *Prog) add(k kind, what string, nr uintptr, args []any) Step {
	o := op{nr: nr, kind: k, dst: slotCount}
	for i, a := range args {
		switch v := a.(type) {
		case Slot:
			o.a[i], o.from = uintptr(v), o.from|1<<i
		case string:
			o.a[i] = uintptr(p.cstring(v))
		case mem:
			o.a[i] = uintptr(v.p)
		case int:
			o.a[i] = uintptr(v)
		case uint:
			o.a[i] = uintptr(v)
		case uintptr:
			o.a[i] = v
		case uint32:
			o.a[i] = uintptr(v)
		case uint64:
			o.a[i] = uintptr(v)
		default:
			panic(fmt.Sprintf("BUG: step %q: argument %d is a %T", what, i, a))
		}
	}
	if len(p.ops) == cap(p.ops) {
		p.full = true
		p.ops = p.ops[:0] // nobody runs it
		p.said = p.said[:0]
	}
	p.ops = append(p.ops, o)
	p.said = append(p.said, said{what: what, args: args, blame: k == kindCall && nr == syscall.SYS_EXECVE})
	return Step{p, len(p.ops) - 1}
}

// Into keeps the result in a slot.
func (s Step) Into() Slot {
	n := Slot(s.p.slots)
	if k := len(s.p.free); k > 0 {
		n, s.p.free = s.p.free[k-1], s.p.free[:k-1]
	} else if s.p.slots++; s.p.slots > slotCount {
		panic("BUG: list of system calls needs too many slots")
	}
	s.p.ops[s.i].dst = uintptr(n)
	return n
}

// closeSlot closes a descriptor of the child and gives its slot back.
func (p *Prog) closeSlot(n Slot) {
	p.Call("close", syscall.SYS_CLOSE, n)
	p.free = append(p.free, n)
}

// Allow lets the list go on after one of these errno (at most three).
func (s Step) Allow(errnos ...syscall.Errno) Step {
	for i, e := range errnos {
		s.p.ops[s.i].ok[i] = uintptr(e)
	}
	return s
}

// Blame says that the image, a volume or the command is at fault when this step fails, not the host.
func (s Step) Blame() Step {
	s.p.said[s.i].blame = true
	return s
}

// Say is Blame with words for people, who know nothing of system calls.
func (s Step) Say(plain string) Step {
	s.p.said[s.i].plain = plain
	return s.Blame()
}

// SkipTo leaves out everything added between s and now when an allowed errno comes. Call it after adding the steps to leave out.
func (s Step) SkipTo() {
	s.p.ops[s.i].skip = uintptr(len(s.p.ops) - s.i - 1)
}

// String prints the list, one step a line: tests compare it with golden files.
func (p *Prog) String() string {
	var b strings.Builder
	for i := range p.ops {
		b.WriteString(p.step(i) + "\n")
	}
	return b.String()
}

// step prints one step: names, slots and descriptors, not addresses; then its result's slot and the errno it may have.
func (p *Prog) step(i int) string {
	var b strings.Builder
	b.WriteString(p.said[i].what)
	for _, a := range p.said[i].args {
		switch v := a.(type) {
		case string:
			b.WriteString(" " + strconv.Quote(v))
		case Slot:
			b.WriteString(" $" + strconv.Itoa(int(v)))
		case mem:
			b.WriteString(" " + v.text)
		default:
			fmt.Fprintf(&b, " %#x", v)
		}
	}
	o := p.ops[i]
	for _, e := range o.ok {
		if e != 0 {
			b.WriteString(" or " + errnoName(syscall.Errno(e)))
		}
	}
	if o.dst < slotCount {
		b.WriteString(" -> $" + strconv.Itoa(int(o.dst)))
	}
	if o.skip > 0 {
		b.WriteString(" skip " + strconv.Itoa(int(o.skip)))
	}
	return b.String()
}

func (p *Prog) cstring(s string) unsafe.Pointer {
	at := p.alloc(uintptr(len(s) + 1))
	b := unsafe.Slice((*byte)(at), len(s)+1)
	copy(b, s)
	b[len(s)] = 0
	return at
}

// bytes makes memory of b's content.
func (p *Prog) bytes(b []byte, text string) mem {
	at := p.alloc(uintptr(len(b) + 1))
	copy(unsafe.Slice((*byte)(at), len(b)+1), b)
	return mem{at, text}
}

// object makes memory of one value; pointers in it must point into the arena.
func object[T any](p *Prog, v T, text string) mem {
	at := p.alloc(unsafe.Sizeof(v))
	*(*T)(at) = v
	return mem{at, text}
}

// words makes an array of 32-bit numbers, as setgroups takes.
func (p *Prog) words(list []uint32) mem {
	at := p.alloc(uintptr(len(list)) * unsafe.Sizeof(uint32(0)))
	copy(unsafe.Slice((*uint32)(at), len(list)), list)
	return mem{at, fmt.Sprint(list)}
}

// vector makes a NULL-terminated array of C strings, as execve takes.
func (p *Prog) vector(list []string, text string) mem {
	at := p.alloc(uintptr(len(list)+1) * unsafe.Sizeof(uintptr(0)))
	v := unsafe.Slice((*uintptr)(at), len(list)+1)
	for i, s := range list {
		v[i] = uintptr(p.cstring(s))
	}
	v[len(list)] = 0
	return mem{at, text}
}

func errnoName(e syscall.Errno) string {
	for _, n := range []struct {
		e    syscall.Errno
		name string
	}{{syscall.EEXIST, "EEXIST"}, {syscall.ENOENT, "ENOENT"}, {syscall.EINVAL, "EINVAL"}, {syscall.EACCES, "EACCES"},
		{syscall.ENOTDIR, "ENOTDIR"}, {syscall.EPERM, "EPERM"}, {syscall.EISDIR, "EISDIR"}, {syscall.EROFS, "EROFS"}} {
		if n.e == e {
			return n.name
		}
	}
	return "errno " + strconv.Itoa(int(e))
}
