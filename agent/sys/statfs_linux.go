package sys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// StatfsKey names a file system as it is seen from one container.
type StatfsKey struct {
	Cgroup uint64 // id of the container's cgroup: its inode number
	FSID   uint64 // f_fsid
}

// StatfsAnswer is what statfs(2) is to say there, in blocks of f_frsize bytes.
type StatfsAnswer struct {
	Blocks uint64 // f_blocks
	Free   uint64 // f_bfree; f_bavail is as much, if the disk itself has as much
}

// StatfsProgram is a loaded program that puts answers of a table in place of the kernel's. It works until Close, or the end of this
// process.
type StatfsProgram struct {
	answers *ebpf.Map
	links   []*os.File
}

// statfsAnswers is how many answers the table holds at most: the kernel takes 16 bytes for each, and more only for those that are there.
const statfsAnswers = 16384

// statfsLicense names the two licences of statfsCode, of which its user chooses one. The kernel lets only programs under a licence that it
// counts as the GPL's call the helpers that are needed here (bpf(2), "license").
const statfsLicense = "Dual MIT/GPL"

// The functions behind statfs(2) and fstatfs(2). 32-bit programs have others, and containers have no 32-bit programs (seccomp).
var statfsCalls = []string{"__x64_sys_statfs", "__x64_sys_fstatfs"}

// statfsCode is the program. It is run when such a function returns; its context is the function's argument, the caller's struct pt_regs,
// and what it returns. Level is how deep below the root containers' cgroups are.
//
// The caller may change its buffer while this runs: all it gets that way are other answers for its own container, or another number of
// free blocks. Memory that can't be read or written at once is left as it is.
func statfsCode(answers, level int) asm.Instructions {
	const (
		context, result = 0, 8 // of the program's context
		regsSI          = 104  // struct pt_regs: the second argument, a struct statfs
		blocks, avail   = 16, 32
		fsid            = 56 - avail // from avail on
		key             = -16        // on the stack: StatfsKey, what was read from avail on, what is written from blocks on
		read, readSize  = key - 32, fsid + 8
		out, outSize    = read - 24, 24
	)
	leave := func(j asm.JumpOp, r asm.Register) asm.Instruction { return j.Imm(r, 0, "leave") }
	load := func(to, from asm.Register, at int16) asm.Instruction { return asm.LoadMem(to, from, at, asm.DWord) }
	store := func(at int16, from asm.Register) asm.Instruction { return asm.StoreMem(asm.RFP, at, from, asm.DWord) }
	return asm.Instructions{
		load(asm.R2, asm.R1, result), leave(asm.JNE, asm.R2),
		load(asm.R1, asm.R1, context), load(asm.R6, asm.R1, regsSI),

		asm.Mov.Imm(asm.R1, int32(level)),
		asm.FnGetCurrentAncestorCgroupId.Call(), leave(asm.JEq, asm.R0),
		store(key, asm.R0),

		asm.Mov.Reg(asm.R1, asm.RFP), asm.Add.Imm(asm.R1, read),
		asm.Mov.Imm(asm.R2, readSize),
		asm.Mov.Reg(asm.R3, asm.R6), asm.Add.Imm(asm.R3, avail),
		asm.FnProbeReadUser.Call(), leave(asm.JNE, asm.R0),
		load(asm.R1, asm.RFP, read+fsid), store(key+8, asm.R1),

		asm.LoadMapPtr(asm.R1, answers),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(), leave(asm.JEq, asm.R0),
		load(asm.R1, asm.R0, 0), store(out, asm.R1),
		load(asm.R1, asm.R0, 8), store(out+8, asm.R1),
		load(asm.R2, asm.RFP, read), asm.JLE.Reg(asm.R1, asm.R2, "least"), asm.Mov.Reg(asm.R1, asm.R2),
		store(out+16, asm.R1).WithSymbol("least"),

		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, blocks),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, out),
		asm.Mov.Imm(asm.R3, outSize),
		asm.FnProbeWriteUser.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("leave"), asm.Return(),
	}
}

// AttachStatfs loads the program and attaches it, with an empty table. Level is how deep below the root of the cgroup tree containers'
// cgroups are; 1 is a child of the root. It fails on a kernel that does not describe its functions (BTF), or is locked down: that refuses
// programs that write into the memory of processes (kernel_lockdown(7)).
func AttachStatfs(level int) (_ *StatfsProgram, err error) {
	btf, err := os.Open(kernelBTF)
	if err != nil {
		return nil, err
	}
	defer btf.Close()
	ids, err := functionIDs(btf, statfsCalls...)
	if err != nil {
		return nil, fmt.Errorf("look up functions in %q: %w", kernelBTF, err)
	}
	p := &StatfsProgram{}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.answers, err = ebpf.NewMap(&ebpf.MapSpec{
		Name:       "hardnode_df",
		Type:       ebpf.Hash,
		KeySize:    16,
		ValueSize:  16,
		MaxEntries: statfsAnswers,
		Flags:      unix.BPF_F_NO_PREALLOC,
	}); err != nil {
		return nil, fmt.Errorf("make table of file systems: %w", err)
	}
	code := statfsCode(p.answers.FD(), level)
	for i, id := range ids {
		l, err := attachExit(code, id)
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", statfsCalls[i], err)
		}
		p.links = append(p.links, l)
	}
	return p, nil
}

// Set puts an answer into the table, or changes it.
func (p *StatfsProgram) Set(k StatfsKey, a StatfsAnswer) error {
	if err := p.answers.Put(k, a); err != nil {
		return fmt.Errorf("set answer for file system %x of cgroup %d: %w", k.FSID, k.Cgroup, err)
	}
	return nil
}

// Drop takes an answer out of the table; one that is not there is no error.
func (p *StatfsProgram) Drop(k StatfsKey) error {
	if err := p.answers.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("drop answer for file system %x of cgroup %d: %w", k.FSID, k.Cgroup, err)
	}
	return nil
}

// Close detaches the program: the kernel's own answers are back.
func (p *StatfsProgram) Close() {
	for _, l := range p.links {
		l.Close()
	}
	if p.answers != nil {
		p.answers.Close()
	}
}

// bpfLoad is the part of union bpf_attr that BPF_PROG_LOAD takes (bpf(2), linux/bpf.h), up to the function it is attached to.
type bpfLoad struct {
	kind, count      uint32
	code, license    uint64
	logLevel, logLen uint32
	log              uint64
	version, flags   uint32
	name             [16]byte
	ifindex, attach  uint32
	btf, funcSize    uint32
	funcs            uint64
	funcCount, lSize uint32
	lines            uint64
	lCount, function uint32
	object           uint32
	_                uint32
}

// bpfAttach is what BPF_RAW_TRACEPOINT_OPEN takes, which attaches programs of this kind too.
type bpfAttach struct {
	name    uint64
	prog, _ uint32
	cookie  uint64
}

// attachExit runs code each time the kernel's function with this BTF number returns, as long as the result is open. The library would read
// all of BTF to find the number.
func attachExit(code asm.Instructions, function uint32) (*os.File, error) {
	var raw bytes.Buffer
	if err := code.Marshal(&raw, binary.LittleEndian); err != nil {
		return nil, fmt.Errorf("encode program: %w", err)
	}
	var fixed runtime.Pinner // the kernel is told addresses
	defer fixed.Unpin()
	address := func(b []byte) uint64 {
		fixed.Pin(unsafe.SliceData(b))
		return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	}
	a := bpfLoad{kind: uint32(ebpf.Tracing), attach: uint32(ebpf.AttachTraceFExit), function: function,
		count: uint32(raw.Len() / asm.InstructionSize), code: address(raw.Bytes()), license: address([]byte(statfsLicense + "\x00"))}
	copy(a.name[:], "hardnode_df")
	prog, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	if err != nil { // once more, for the kernel's reason
		log := make([]byte, 64<<10)
		a.logLevel, a.logLen, a.log = 1, uint32(len(log)), address(log)
		if prog, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&a), unsafe.Sizeof(a)); err != nil {
			return nil, fmt.Errorf("load program: %w%s", err, lastWords(log))
		}
	}
	defer prog.Close()
	at := bpfAttach{prog: uint32(prog.Fd())}
	return bpf(unix.BPF_RAW_TRACEPOINT_OPEN, unsafe.Pointer(&at), unsafe.Sizeof(at))
}

// lastWords is the last line but the statistics of a verifier's log, to be added to an error.
func lastWords(log []byte) string {
	text, _, _ := strings.Cut(string(log), "\x00")
	for lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) > 0; lines = lines[:len(lines)-1] {
		if l := lines[len(lines)-1]; l != "" && !strings.HasPrefix(l, "processed ") {
			return ": " + l
		}
	}
	return ""
}

// bpf is bpf(2) for commands that give a descriptor.
func bpf(command int, attr unsafe.Pointer, size uintptr) (*os.File, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
	if errno != 0 {
		return nil, errno
	}
	return os.NewFile(fd, "bpf"), nil
}
