package sys

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// Device is one character device a container may use; Minor AnyMinor means all of Major.
type Device struct {
	Major uint32
	Minor uint32
}

// AnyMinor stands for every minor number.
const AnyMinor = ^uint32(0)

// DeviceProgram is a loaded program that allows a list of character devices and refuses all others. Every cgroup it is attached to
// keeps it alive.
type DeviceProgram struct{ prog *ebpf.Program }

// deviceCode is the program: context is struct bpf_cgroup_dev_ctx {access_type, major, minor}, the low half of access_type is the
// kind (2: character), and 1 allows.
func deviceCode(allowed []Device) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.And.Imm(asm.R2, 0xffff),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.LoadMem(asm.R4, asm.R1, 8, asm.Word),
		asm.JNE.Imm(asm.R2, 2, "deny"),
	}
	for i, d := range allowed {
		next := fmt.Sprintf("next%d", i)
		code = append(code, asm.JNE.Imm(asm.R3, int32(d.Major), next))
		if d.Minor != AnyMinor {
			code = append(code, asm.JNE.Imm(asm.R4, int32(d.Minor), next))
		}
		code = append(code, asm.Ja.Label("allow"), asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	return append(code,
		asm.Mov.Imm(asm.R0, 0).WithSymbol("deny"), asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("allow"), asm.Return())
}

// LoadDevices loads the program for a list of devices.
func LoadDevices(allowed []Device) (*DeviceProgram, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "hardnode_dev", Type: ebpf.CGroupDevice, License: "Apache-2.0",
		Instructions: deviceCode(allowed)})
	if err != nil {
		return nil, fmt.Errorf("load device program: %w", err)
	}
	return &DeviceProgram{p}, nil
}

// Attach makes the program decide for a cgroup and all below it, as long as the cgroup lives.
func (p *DeviceProgram) Attach(cgroup *os.File) error {
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(cgroup.Fd()), Program: p.prog,
		Attach: ebpf.AttachCGroupDevice}); err != nil {
		return fmt.Errorf("attach device program to %q: %w", cgroup.Name(), err)
	}
	return nil
}
