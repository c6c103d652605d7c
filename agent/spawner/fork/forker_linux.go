package fork

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime keeps these three for programs that fork by themselves (syscall.forkAndExecInChild, gVisor).

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// cloneArgs is struct clone_args of clone3(2), up to cgroup.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Forker is a process that makes clones for this one. It is a clone of this process from the time of Open and shares its descriptors;
// what it clones are children of this process. It ends when this process does.
type Forker struct {
	mu          sync.Mutex // one request at a time: a clone takes a moment, the lists run beside each other
	pid         int
	ask, answer *os.File
	theirs      [2]*os.File // the other ends: closing them here would close them there
	own         *os.File    // this process's pid namespace
	free        chan []byte
	spares      spares
}

// The arenas: memory that holds lists, shared with the forking process and, read-only, with what it clones until that executes its
// program. Only what a list fills is ever taken from the machine.
const (
	arenaCount = 32      // starts and commands that are under way at once; more wait
	arenaBytes = 8 << 20 // twice the largest message of package call
	arenaKeep  = 1 << 20 // what a list took beyond this is given back after it
)

// arenasAt and arenasSize are for the clones.
var arenasAt, arenasSize uintptr

// none stands for no descriptor in a request.
const none = ^uintptr(0)

// request is what the forking process reads, or a spare: where clone's arguments and the list lie, and descriptors. With a line the clone
// runs no list but becomes a spare.
type request struct{ args, ops, n, status, inside, own, line uintptr }

func (r request) bytes() []byte {
	b := make([]byte, 0, unsafe.Sizeof(r))
	for _, v := range []uintptr{r.args, r.ops, r.n, r.status, r.inside, r.own, r.line} {
		b = binary.NativeEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// forked is what it answers.
type forked struct{ pid, errno uint64 }

func readForked(b []byte) (int, error) {
	if errno := syscall.Errno(binary.NativeEndian.Uint64(b[8:])); errno != 0 {
		return 0, &Error{Step: "clone", Errno: errno}
	}
	return int(binary.NativeEndian.Uint64(b)), nil
}

// Open makes the forking process. The calling goroutine must be locked to the main thread, for the process ends with the thread that
// made it. Call it before there is anything in memory that no child should ever have seen.
func Open() (*Forker, error) {
	arenas, err := unix.Mmap(-1, 0, arenaCount*arenaBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("make arenas: %w", err)
	}
	arenasAt, arenasSize = uintptr(unsafe.Pointer(unsafe.SliceData(arenas))), uintptr(len(arenas))
	f := &Forker{free: make(chan []byte, arenaCount)}
	for a := range arenaCount {
		f.free <- arenas[a*arenaBytes : (a+1)*arenaBytes : (a+1)*arenaBytes]
	}
	if f.own, err = os.Open("/proc/self/ns/pid"); err != nil {
		return nil, fmt.Errorf("open own pid namespace: %w", err)
	}
	askR, askW, err := pipe("ask")
	if err != nil {
		return nil, err
	}
	answerR, answerW, err := pipe("answer")
	if err != nil {
		return nil, err
	}
	f.ask, f.answer = askW, answerR
	args := &cloneArgs{flags: unix.CLONE_FILES, exitSignal: uint64(unix.SIGCHLD)}
	in, out := askR.Fd(), answerW.Fd()
	syscall.ForkLock.Lock()
	pid, errno := forkForker(args, uintptr(os.Getpid()), in, out)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return nil, &Error{Step: "clone the forking process", Errno: errno}
	}
	f.pid = int(pid)
	f.theirs = [2]*os.File{askR, answerW}
	return f, nil
}

// Wait returns when the forking process has ended, which is an error: this process must end then, for it can start nothing any more.
func (f *Forker) Wait() error {
	code, _ := ExitCode(f.pid)
	return fmt.Errorf("the forking process %d ended with %d", f.pid, code)
}

// list is a Prog with its arena.
type list struct {
	*Prog
	whole []byte
}

// list begins a list in a free arena, for which it may have to wait.
func (f *Forker) list() *list {
	whole := <-f.free
	return &list{newProg(whole), whole}
}

// release gives the arena back; nobody may run the list any more.
func (f *Forker) release(l *list) {
	if used := len(l.whole) - len(l.arena); used > arenaKeep {
		unix.Madvise(l.whole[arenaKeep:], unix.MADV_REMOVE) // failing costs memory only
	}
	f.free <- l.whole
}

// Start clones a child into cgroup (a directory descriptor) and the pid namespace of the process that pidfd is of, runs the list that
// build makes in it, and returns when execve succeeded. -1 stands for the own cgroup and namespace.
func (f *Forker) Start(build func(*Prog), cgroup, pidfd int) (*Child, error) {
	l := f.list()
	defer f.release(l)
	build(l.Prog)
	var args cloneArgs
	if cgroup >= 0 {
		args.flags, args.cgroup = unix.CLONE_INTO_CGROUP, uint64(cgroup)
	}
	pid, status, err := f.begin(l, args, uintptr(pidfd), f.clone)
	if err != nil {
		return nil, err
	}
	return finish(l.Prog, pid, status)
}

// begin has the child cloned that runs the list, by clone, as a child of this process. What comes back besides its pid is the reading end
// of its status pipe.
func (f *Forker) begin(l *list, args cloneArgs, inside uintptr, clone func(request) (int, error)) (pid int, status *os.File, err error) {
	status, w, err := pipe("status")
	if err != nil {
		return 0, nil, err
	}
	defer func() { w.Close() }()
	if least := firstHanded + l.handed; int(w.Fd()) < least { // else what the program is handed would take its place
		high, err := above(w, least)
		if err != nil {
			status.Close()
			return 0, nil, err
		}
		w.Close()
		w = high
	}
	l.use(int(w.Fd()))
	l.seal()
	at := l.alloc(unsafe.Sizeof(args))
	if l.full {
		status.Close()
		return 0, nil, errors.New("arguments, environment, files and mounts are more than fits: at most 8 MiB")
	}
	args.flags |= unix.CLONE_PARENT
	*(*cloneArgs)(at) = args
	pid, err = clone(request{args: uintptr(at), ops: uintptr(unsafe.Pointer(unsafe.SliceData(l.ops))), n: uintptr(len(l.ops)),
		status: w.Fd(), inside: inside, own: f.own.Fd(), line: none})
	if err != nil {
		status.Close()
		return 0, nil, err
	}
	return pid, status, nil
}

// above is a copy of a descriptor whose number is at least least.
func above(f *os.File, least int) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, least)
	if err != nil {
		return nil, fmt.Errorf("copy %s pipe: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (f *Forker) clone(r request) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.ask.Write(r.bytes()); err != nil {
		return 0, fmt.Errorf("ask the forking process: %w", err)
	}
	var reply [unsafe.Sizeof(forked{})]byte
	if _, err := io.ReadFull(f.answer, reply[:]); err != nil {
		return 0, fmt.Errorf("ask the forking process: %w", err)
	}
	return readForked(reply[:])
}

//go:noinline
//go:norace
//go:nosplit
func forkForker(args *cloneArgs, parent, in, out uintptr) (uintptr, syscall.Errno) {
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	serveForks(parent, in, out)
	return 0, 0
}

// asked and done are the forking process's; each spare has its own copy.
var (
	asked request
	done  forked
)

// What lies in one arena of the Go heap (runtime, heapArenaBytes), and what of it is kept around the stack that serveForks runs on.
const (
	heapArena = 64 << 20
	heapKept  = 64 << 10
)

// shed gives back what the forking process has of the heap, but for the stack: it uses nothing else of it, and each clone would have it
// too. It may fail, which costs memory only.
//
//go:noinline
//go:norace
//go:nosplit
func shed() {
	var here uintptr
	at := uintptr(unsafe.Pointer(&here))
	first, last := at&^(heapArena-1), at|(heapArena-1)
	low, high := at&^(heapKept-1)-heapKept, at&^(heapKept-1)+2*heapKept
	if low > first {
		syscall.RawSyscall(unix.SYS_MADVISE, first, low-first, unix.MADV_DONTNEED)
	}
	if high < last {
		syscall.RawSyscall(unix.SYS_MADVISE, high, last+1-high, unix.MADV_DONTNEED)
	}
}

// serveForks is the forking process: it never returns. Its clones may read the lists and not write them.
//
//go:noinline
//go:norace
//go:nosplit
func serveForks(parent, in, out uintptr) {
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	if now, _, _ := syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); now != parent {
		leave(1)
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_MPROTECT, arenasAt, arenasSize, unix.PROT_READ); errno != 0 {
		leave(2)
	}
	shed()
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, in, uintptr(unsafe.Pointer(&asked)), unsafe.Sizeof(asked))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n != unsafe.Sizeof(asked) {
			leave(3)
		}
		done.pid, done.errno = 0, 0
		if asked.inside != none { // children are born in the namespace their parent has joined, the parent stays where it is (setns(2))
			_, _, errno = syscall.RawSyscall(unix.SYS_SETNS, asked.inside, unix.CLONE_NEWPID, 0)
		}
		if errno == 0 {
			var pid uintptr
			pid, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, asked.args, unsafe.Sizeof(cloneArgs{}), 0)
			if errno == 0 && pid == 0 {
				if asked.line != none {
					serveSpare(parent, asked.line)
				}
				interpret(asked.ops, asked.n, asked.status)
			}
			done.pid = uint64(pid)
			if asked.inside != none {
				if _, _, errno := syscall.RawSyscall(unix.SYS_SETNS, asked.own, unix.CLONE_NEWPID, 0); errno != 0 {
					leave(4)
				}
			}
		}
		done.errno = uint64(errno)
		if _, _, errno := syscall.RawSyscall(unix.SYS_WRITE, out, uintptr(unsafe.Pointer(&done)), unsafe.Sizeof(done)); errno != 0 {
			leave(5)
		}
	}
}
