package profile

import (
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// verdict runs a filter as the kernel would, in the package's own machine.
func verdict(t *testing.T, prog []bpf.Instruction, archID uint32, nr int, args ...uint64) uint32 {
	t.Helper()
	// struct seccomp_data: the machine reads words big-endian, the kernel in the processor's order; arguments are two words, low first.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data, uint32(nr))
	binary.BigEndian.PutUint32(data[4:], archID)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestSeccomp(t *testing.T) {
	const (
		allow  = uint32(unix.SECCOMP_RET_ALLOW)
		eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		enotty = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)
	)
	app, err := seccompProgram(appDenied, appAbsent, true)
	if err != nil {
		t.Fatal(err)
	}
	system, err := seccompProgram(systemDenied, systemAbsent, false)
	if err != nil {
		t.Fatal(err)
	}
	numbers := arch.X86_64.SyscallNames
	id := uint32(arch.X86_64.ID)
	for _, c := range []struct {
		name        string
		args        []uint64
		app, system uint32
	}{
		{"read", nil, allow, allow},
		{"execve", nil, allow, allow},
		{"openat2", nil, allow, allow},
		{"ptrace", nil, allow, allow},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow, allow},
		{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, enosys, allow},
		{"clone", []uint64{unix.CLONE_NEWNS}, enosys, allow},
		{"clone3", nil, enosys, allow},
		{"socket", []uint64{unix.AF_INET}, allow, allow},
		{"socket", []uint64{unix.AF_UNIX}, allow, allow},
		{"socket", []uint64{unix.AF_ALG}, enosys, enosys},
		{"socket", []uint64{unix.AF_VSOCK}, enosys, enosys},
		{"socket", []uint64{unix.AF_ALG | 1<<32}, enosys, enosys}, // the kernel cuts off the high word
		{"clone", []uint64{unix.CLONE_NEWNET | 1<<40}, enosys, allow},
		{"personality", []uint64{0}, allow, allow},
		{"personality", []uint64{0xffffffff}, allow, allow},
		{"personality", []uint64{0x0008}, allow, allow},
		{"personality", []uint64{0x0400000}, eperm, eperm},         // READ_IMPLIES_EXEC
		{"personality", []uint64{0x0400008}, eperm, eperm},         // with another
		{"personality", []uint64{0x0400000 | 1<<40}, eperm, eperm}, // the kernel cuts off the high word
		{"personality", []uint64{0x0040000}, eperm, eperm},         // ADDR_NO_RANDOMIZE
		{"personality", []uint64{0x0100000}, eperm, eperm},         // MMAP_PAGE_ZERO
		{"ioctl", []uint64{3, unix.TCGETS}, allow, allow},
		{"ioctl", []uint64{3, unix.FICLONE}, allow, allow},          // of btrfs's family
		{"ioctl", []uint64{0x5000940e, unix.FICLONE}, allow, allow}, // a descriptor is no request
		{"ioctl", []uint64{3, 0x5000940e}, enotty, enotty},
		{"ioctl", []uint64{3, 0x50009418}, enotty, enotty},
		{"ioctl", []uint64{3, 0x5000943f}, enotty, enotty},
		{"ioctl", []uint64{3, 0x4008941a | 1<<32}, enotty, enotty}, // the kernel cuts off the high word
		{"mount", nil, eperm, allow},
		{"fsopen", nil, eperm, allow},
		{"setns", nil, eperm, allow},
		{"unshare", nil, eperm, allow},
		{"kexec_load", nil, eperm, eperm},
		{"bpf", nil, eperm, eperm},
		{"pidfd_getfd", nil, eperm, eperm},
		{"open_by_handle_at", nil, eperm, eperm},
		{"userfaultfd", nil, eperm, eperm},
		{"io_uring_setup", nil, enosys, enosys},
		{"keyctl", nil, enosys, enosys},
	} {
		nr, ok := numbers[c.name]
		if !ok {
			t.Errorf("%s is not in the table", c.name)
		}
		if got := verdict(t, app, id, nr, c.args...); got != c.app {
			t.Errorf("app: %s %x gives %#x, want %#x", c.name, c.args, got, c.app)
		}
		if got := verdict(t, system, id, nr, c.args...); got != c.system {
			t.Errorf("system: %s %x gives %#x, want %#x", c.name, c.args, got, c.system)
		}
	}
	passed := [][]string{allowedNames(appDenied, appAbsent), allowedNames(systemDenied, systemAbsent)}
	for i, prog := range [][]bpf.Instruction{app, system} {
		if got := verdict(t, prog, id, 900); got != enosys {
			t.Errorf("an unknown call gives %#x", got)
		}
		if got := verdict(t, prog, uint32(arch.I386.ID), 1); got == allow {
			t.Error("the 32-bit door is open")
		}
		if got := verdict(t, prog, id, 0x40000000|numbers["read"]); got == allow {
			t.Error("the x32 door is open")
		}
		if len(prog) > 400 {
			t.Errorf("filter has %d instructions: is it a tree?", len(prog))
		}
		// Every number, whatever the first argument: only what the lists say is allowed.
		for nr := range 512 {
			name := arch.X86_64.SyscallNumbers[nr]
			for _, arg := range []uint64{0, unix.AF_ALG, unix.CLONE_NEWUSER, unix.CLONE_NEWNS | 41, ^uint64(0)} {
				got := verdict(t, prog, id, nr, arg)
				if name == "" && got != enosys {
					t.Errorf("call %d with %#x gives %#x and has no name", nr, arg, got)
				}
				if want := slices.Contains(passed[i], name); name != "socket" && name != "clone" && name != "personality" &&
					(got == allow) != want {
					t.Errorf("%s with %#x gives %#x; in the list of allowed ones: %v", name, arg, got, want)
				}
			}
		}
	}
	if raw, err := seccompFor(appDenied, appAbsent, true); err != nil || len(raw) != 8*len(app) {
		t.Errorf("%d bytes for %d instructions: %v", len(raw), len(app), err)
	}
}

// TestAllowedNames pins what the filters let through: a new table of the library is a change to review.
func TestAllowedNames(t *testing.T) {
	for _, c := range []struct {
		file            string
		denied, missing []string
	}{{"seccomp-app.txt", appDenied, appAbsent}, {"seccomp-system.txt", systemDenied, systemAbsent}} {
		got := strings.Join(allowedNames(c.denied, c.missing), "\n") + "\n"
		path := filepath.Join("testdata", c.file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from the calls allowed now; if that is meant: go test ./agent/container/profile -update", path)
		}
	}
}

// TestCallNames: the table has the library's system calls, each at its number.
func TestCallNames(t *testing.T) {
	known := 0
	for nr, name := range callNames {
		if want := arch.X86_64.SyscallNumbers[nr]; name != want {
			t.Errorf("call %d is %q, want %q", nr, name, want)
		}
		if name != "" {
			known++
		}
	}
	if known != len(arch.X86_64.SyscallNumbers) {
		t.Errorf("%d calls are known, want %d", known, len(arch.X86_64.SyscallNumbers))
	}
}
