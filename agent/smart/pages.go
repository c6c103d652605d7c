package smart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"hardnode.dev/internal/wire/smart"
)

// errSilent: a disk has no health information.
var errSilent = errors.New("no health information")

// pageSize is that of NVMe's log page and of ATA's sector, in bytes.
const pageSize = 512

// wornOut is from how many percent of its life on a disk is to be looked at.
const wornOut = 90

// judged gives a disk the state that its words make: what fails comes before what is to be watched.
func judged(d smart.Health, failing, watch []string) smart.Health {
	switch {
	case len(failing) > 0:
		d.State = smart.Failing
	case len(watch) > 0:
		d.State = smart.Watch
	default:
		d.State = smart.Good
	}
	d.Reason = strings.Join(append(failing, watch...), "; ")
	return d
}

// worn says that a disk's life is nearly used.
func worn(percent int) []string {
	if percent < wornOut {
		return nil
	}
	return []string{fmt.Sprintf("%d %% of the writing that its maker gives it is done", percent)}
}

// wide is a 128-bit number of a page, as far as 63 bits go.
func wide(b []byte) int64 {
	low, high := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}

// nvmePage reads the SMART / Health Information log page (NVM Express Base Specification 2.0, 5.16.1.3).
func nvmePage(page []byte) (d smart.Health, err error) {
	if len(page) != pageSize {
		return d, fmt.Errorf("its health log has %d bytes, want %d", len(page), pageSize)
	}
	if kelvin := int(binary.LittleEndian.Uint16(page[1:])); kelvin > 0 {
		d.Celsius = kelvin - 273
	}
	spare, used := int(page[3]), int(page[5])
	d.Spare, d.Wear = &spare, &used
	d.Hours, d.MediaErrors = wide(page[128:]), wide(page[160:])
	var failing, watch []string
	for bit, words := range []string{fmt.Sprintf("only %d %% of its spare blocks are left", spare), "", "errors make it unreliable",
		"it takes no writes any more", "what is in its cache is lost with the power", "its persistent memory takes no writes any more"} {
		if words != "" && page[0]&(1<<bit) != 0 {
			failing = append(failing, words)
		}
	}
	if page[0]&(1<<1) != 0 {
		watch = append(watch, "its temperature is out of bounds: see to its cooling")
	}
	return judged(d, failing, append(watch, worn(used)...)), nil
}

// ataPage reads what SMART READ DATA gives (ACS-3, 7.48.6: a checksum and bytes of the maker's own, which all makers fill as SFF-8035i had
// it), and verdict, which SMART RETURN STATUS gave.
func ataPage(page []byte, verdict ataVerdict) (d smart.Health, err error) {
	if len(page) != pageSize {
		return d, fmt.Errorf("its SMART data has %d bytes, want %d", len(page), pageSize)
	}
	var sum byte
	for _, b := range page {
		sum += b
	}
	if sum != 0 {
		return d, errors.New("the checksum of its SMART data is wrong")
	}
	var watch []string
	for i := range 30 {
		a := page[2+12*i:][:12]
		id, value := a[0], int(a[3])
		raw := int64(binary.LittleEndian.Uint32(a[5:])) // the two bytes above it are used for other things by some
		switch id {
		case 5:
			d.Reallocated = raw
		case 9:
			d.Hours = raw
		case 187, 198: // reported uncorrectable; uncorrectable in a scan of its own
			d.MediaErrors = max(d.MediaErrors, raw)
		case 197:
			d.Pending = raw
		case 190, 194: // of air, of the disk
			if t := int(a[5]); t > 0 && t < 128 && (id == 194 || d.Celsius == 0) {
				d.Celsius = t
			}
		case 177, 202, 231, 233: // Samsung, Micron, several, Intel: of its life, percent left
			if value > 0 && value <= 100 && d.Wear == nil {
				used := 100 - value
				d.Wear = &used
				watch = worn(used)
			}
		}
	}
	if d.Pending > 0 {
		watch = append(watch, fmt.Sprintf("%d of its blocks can't be read", d.Pending))
	}
	switch verdict {
	case ataFails:
		return judged(d, []string{"it says that it will fail soon"}, watch), nil
	case ataWell:
		return judged(d, nil, watch), nil
	}
	d = judged(d, nil, watch)
	if d.State == smart.Good {
		d.State, d.Reason = smart.Unknown, "it does not say whether it will fail soon"
	}
	return d, nil
}

// ataVerdict is what SMART RETURN STATUS says.
type ataVerdict int

const (
	ataUnsaid ataVerdict = iota
	ataWell              // no threshold is exceeded
	ataFails             // one is
)

// verdictOf finds it in the registers that come as sense data (SAT-4, 12.2.2.6 and .7): as a descriptor, or fixed.
func verdictOf(sense []byte) ataVerdict {
	var mid, high byte
	switch {
	case len(sense) >= 22 && sense[0]&0x7f == 0x72 && sense[8] == 0x09 && sense[9] >= 12:
		mid, high = sense[8+9], sense[8+11]
	case len(sense) >= 12 && sense[0]&0x7f == 0x70:
		mid, high = sense[10], sense[11]
	}
	switch [2]byte{mid, high} {
	case [2]byte{0x4f, 0xc2}:
		return ataWell
	case [2]byte{0xf4, 0x2c}:
		return ataFails
	}
	return ataUnsaid
}

// The log pages of SCSI that are asked for.
const (
	informational = 0x2f // Informational Exceptions (SPC-5, 7.3.8)
	solidState    = 0x11 // Solid State Media (SBC-4, 6.4.7)
)

// parameter is one of a log page's, by its code (SPC-5, 7.3.2.2): nil when it is not there. The error says that it is not that page.
func parameter(page []byte, number byte, code uint16) ([]byte, error) {
	if len(page) < 4 || page[0]&0x3f != number {
		return nil, fmt.Errorf("log page %02Xh: it gave another one", number)
	}
	end := min(len(page), 4+int(binary.BigEndian.Uint16(page[2:])))
	for at := 4; at+4 <= end; {
		size := int(page[at+3])
		if at+4+size > end {
			break
		}
		if binary.BigEndian.Uint16(page[at:]) == code {
			return page[at+4:][:size], nil
		}
		at += 4 + size
	}
	return nil, nil
}

// scsiPages reads the two log pages; that of solid state media may be nil.
func scsiPages(exceptions, media []byte) (d smart.Health, err error) {
	general, err := parameter(exceptions, informational, 0)
	if err != nil {
		return d, err
	}
	if len(general) < 2 {
		return d, errSilent
	}
	if len(general) > 2 && general[2] != 0xff {
		d.Celsius = int(general[2])
	}
	var failing, watch []string
	switch code, qualifier := general[0], general[1]; {
	case code == 0x5d && qualifier != 0xff: // FAILURE PREDICTION THRESHOLD EXCEEDED; FFh is a test
		failing = []string{fmt.Sprintf("it says that it will fail soon (%02Xh/%02Xh)", code, qualifier)}
	case code == 0x0b && qualifier == 0x01:
		watch = []string{"its temperature is out of bounds: see to its cooling"}
	case code == 0x0b:
		watch = []string{fmt.Sprintf("it warns (%02Xh/%02Xh)", code, qualifier)}
	}
	if used, err := parameter(media, solidState, 1); err == nil && len(used) >= 4 {
		percent := int(used[3])
		d.Wear = &percent
		watch = append(watch, worn(percent)...)
	}
	return judged(d, failing, watch), nil
}
