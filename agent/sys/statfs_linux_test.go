package sys

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the program takes for granted of the kernel's structures.
func TestStatfsLayout(t *testing.T) {
	var st unix.Statfs_t
	for name, c := range map[string]struct{ got, want uintptr }{
		"f_blocks":           {unsafe.Offsetof(st.Blocks), 16},
		"f_bfree":            {unsafe.Offsetof(st.Bfree), 24},
		"f_bavail":           {unsafe.Offsetof(st.Bavail), 32},
		"f_fsid":             {unsafe.Offsetof(st.Fsid), 56},
		"pt_regs.si":         {unsafe.Offsetof(unix.PtraceRegs{}.Rsi), 104},
		"bpf_attr.license":   {unsafe.Offsetof(bpfLoad{}.license), 16},
		"bpf_attr.prog_name": {unsafe.Offsetof(bpfLoad{}.name), 48},
		"bpf_attr.expected":  {unsafe.Offsetof(bpfLoad{}.attach), 68},
		"bpf_attr.func_info": {unsafe.Offsetof(bpfLoad{}.funcs), 80},
		"bpf_attr.btf_id":    {unsafe.Offsetof(bpfLoad{}.function), 108},
		"bpf_attr.prog_fd":   {unsafe.Offsetof(bpfAttach{}.prog), 8},
		"StatfsKey":          {unsafe.Sizeof(StatfsKey{}), 16},
		"StatfsAnswer":       {unsafe.Sizeof(StatfsAnswer{}), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, want %d", name, c.got, c.want)
		}
	}
}

func TestStatfsCode(t *testing.T) {
	var raw bytes.Buffer
	if err := statfsCode(3, 2).Marshal(&raw, binary.LittleEndian); err != nil {
		t.Error(err)
	}
}

func TestLastWords(t *testing.T) {
	for log, want := range map[string]string{
		"": "", "\x00\x00": "", "0: (85) call x\nunknown func x\nprocessed 3 insns\n\x00\x00": ": unknown func x", "processed 3 insns": "",
	} {
		if got := lastWords([]byte(log)); got != want {
			t.Errorf("of %q: %q, want %q", log, got, want)
		}
	}
}
