package smart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/smart"
)

type (
	nvmeCommand struct { // struct nvme_passthru_cmd of include/uapi/linux/nvme_ioctl.h
		opcode, flags                                               uint8
		_                                                           uint16
		nsid, cdw2, cdw3                                            uint32
		metadata                                                    uint64
		data                                                        unsafe.Pointer
		metadataBytes, bytes                                        uint32
		cdw10, cdw11, cdw12, cdw13, cdw14, cdw15, timeoutMs, result uint32
	}
	sgHeader struct { // struct sg_io_hdr of include/scsi/sg.h
		interfaceID                     int32
		direction                       int32
		commandBytes, senseMost         uint8
		iovecs                          uint16
		bytes                           uint32
		data, command, sense            unsafe.Pointer
		timeoutMs, flags                uint32
		packID                          int32
		user                            unsafe.Pointer
		status, masked, message, sensed uint8
		host, driver                    uint16
		residue                         int32
		duration, info                  uint32
	}
)

const (
	nvmeAdmin = 3<<30 | unsafe.Sizeof(nvmeCommand{})<<16 | 'N'<<8 | 0x41 // NVME_IOCTL_ADMIN_CMD
	sgIO      = 0x2285                                                   // SG_IO

	getLogPage = 0x02 // NVMe: its opcode, and the number of the health log
	anyNS      = ^uint32(0)

	fromDisk   = -3 // SG_DXFER_FROM_DEV
	noData     = -1 // SG_DXFER_NONE
	logSense   = 0x4d
	sgWait     = 30_000 // ms, as the kernel's own commands have
	checkSense = 0x02   // CHECK CONDITION

	smartData, smartStatus = 0xd0, 0xda // of SMART: READ DATA, RETURN STATUS
	nonData, pioIn         = 3, 4       // protocols of ATA PASS-THROUGH
)

// ask asks one disk. The error is errSilent when it has nothing to say.
func ask(path string, k kind) (d smart.Health, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return d, err
	}
	defer f.Close()
	switch k {
	case nvmeDisk:
		return askNVMe(f)
	case ataDisk:
		return askATA(f)
	}
	return askSCSI(f)
}

// askNVMe gets the health log of the controller, for all its namespaces.
func askNVMe(f *os.File) (d smart.Health, err error) {
	page := make([]byte, pageSize)
	c := nvmeCommand{opcode: getLogPage, nsid: anyNS, data: unsafe.Pointer(&page[0]), bytes: pageSize,
		cdw10: (pageSize/4-1)<<16 | getLogPage}
	code, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nvmeAdmin, uintptr(unsafe.Pointer(&c)))
	switch {
	case e != 0:
		return d, fmt.Errorf("ask for its health log: %w", e)
	case code != 0:
		return d, fmt.Errorf("ask for its health log: NVMe status %#x", code)
	}
	return nvmePage(page)
}

// sg sends a command by SG_IO, with room for what it answers; nil: it answers nothing. What came as sense data is returned.
func sg(f *os.File, command, data []byte) (sense []byte, err error) {
	sense = make([]byte, 64)
	h := sgHeader{interfaceID: 'S', direction: noData, commandBytes: uint8(len(command)), senseMost: uint8(len(sense)),
		command: unsafe.Pointer(&command[0]), sense: unsafe.Pointer(&sense[0]), timeoutMs: sgWait}
	if len(data) > 0 {
		h.direction, h.bytes, h.data = fromDisk, uint32(len(data)), unsafe.Pointer(&data[0])
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h))); e != 0 {
		return nil, e
	}
	sense = sense[:min(int(h.sensed), len(sense))]
	switch {
	case h.host != 0:
		return sense, fmt.Errorf("its adapter answers %#x", h.host)
	case h.status == 0, h.status == checkSense && recovered(sense):
		return sense, nil
	case h.status == checkSense && refused(sense):
		return sense, errSilent
	}
	return sense, fmt.Errorf("it answers with status %#x", h.status)
}

// key is the sense key (SPC-5, 4.4).
func key(sense []byte) byte {
	switch {
	case len(sense) > 1 && sense[0]&0x7f >= 0x72:
		return sense[1] & 0xf
	case len(sense) > 2:
		return sense[2] & 0xf
	}
	return 0xff
}

func recovered(sense []byte) bool { k := key(sense); return k <= 1 } // NO SENSE, RECOVERED ERROR: registers are told so
func refused(sense []byte) bool   { k := key(sense); return k == 5 || k == 0xb }

// askATA gets what SMART says.
func askATA(f *os.File) (d smart.Health, err error) {
	page := make([]byte, pageSize)
	if _, err := sg(f, passThrough(pioIn, 0x0e, smartData), page); err != nil { // blocks from the disk, as many as the count says
		return d, asking("read its SMART data", err)
	}
	sense, err := sg(f, passThrough(nonData, 0x20, smartStatus), nil) // the registers are wanted (CK_COND)
	if err != nil && !errors.Is(err, errSilent) {
		return d, asking("ask for its SMART status", err)
	}
	return ataPage(page, verdictOf(sense))
}

// passThrough is ATA PASS-THROUGH (16) of a SMART command (SAT-4, 12.2.2; ACS-3, 7.48).
func passThrough(protocol, transfer, feature byte) []byte {
	return []byte{0x85, protocol << 1, transfer, 0, feature, 0, 1, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0xb0, 0}
}

func asking(what string, err error) error {
	if errors.Is(err, errSilent) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// askSCSI gets the log pages, by LOG SENSE (SPC-5, 6.8).
func askSCSI(f *os.File) (d smart.Health, err error) {
	page := func(number byte) ([]byte, error) {
		raw := make([]byte, pageSize)
		c := []byte{logSense, 0, 0x40 | number, 0, 0, 0, 0, 0, 0, 0} // cumulative values
		binary.BigEndian.PutUint16(c[7:], pageSize)
		_, err := sg(f, c, raw)
		return raw, err
	}
	exceptions, err := page(informational)
	if err != nil {
		return d, asking("read its log pages", err)
	}
	media, err := page(solidState)
	if err != nil {
		media = nil // no solid state
	}
	return scsiPages(exceptions, media)
}
