package efi

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// What firmware believes lies in lists of signatures (UEFI 32.4.1), in these variables: who may change the lists, who may sign programs,
// what is revoked.
const (
	PK  = "PK"
	KEK = "KEK"
	DB  = "db"
	DBX = "dbx"
)

const (
	security  = "d719b2cb-3d3a-4596-a3bc-dad00e67656f" // the vendor of db and dbx
	ofX509    = "A5C059A1-94E4-4AA7-87B5-AB155C2BF072"
	ofSHA256  = "C1C41626-504C-4092-ACA9-41F936934328"
	ofPKCS7   = "4AAFD29D-68DF-49EE-8AA9-347D375665A7"
	listHead  = 16 + 3*4
	ownerSize = 16
	certGUID  = 0x0ef1 // WIN_CERT_TYPE_EFI_GUID
	revision2 = 0x0200
	signedAs  = 0x27 // kept, seen by firmware and system, written with a signature that says its time
)

// Lists is what one variable believes.
type Lists struct {
	Certificates []*x509.Certificate
	Digests      [][32]byte // SHA-256, of programs
}

// EncodeLists is the value of a variable that believes certificates. owner says who put them there: a GUID.
func EncodeLists(owner string, certificates ...*x509.Certificate) ([]byte, error) {
	id, err := guidBytes(owner)
	if err != nil {
		return nil, err
	}
	kind, err := guidBytes(ofX509)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, c := range certificates {
		size := ownerSize + len(c.Raw)
		out = append(out, kind...)
		for _, n := range []int{listHead + size, 0, size} {
			out = binary.LittleEndian.AppendUint32(out, uint32(n))
		}
		out = append(append(out, id...), c.Raw...)
	}
	return out, nil
}

// DecodeLists reads one. Kinds that it does not know are left out, and certificates that can't be read: firmware believes neither.
func DecodeLists(raw []byte) (l Lists, err error) {
	x509Kind, _ := guidBytes(ofX509)
	sumKind, _ := guidBytes(ofSHA256)
	for len(raw) > 0 {
		if len(raw) < listHead {
			return l, errors.New("a list of signatures is cut off")
		}
		all, head, each := int64(binary.LittleEndian.Uint32(raw[16:])), int64(binary.LittleEndian.Uint32(raw[20:])),
			int64(binary.LittleEndian.Uint32(raw[24:]))
		if all > int64(len(raw)) || each <= ownerSize || listHead+head > all || (all-listHead-head)%each != 0 {
			return l, errors.New("a list of signatures makes no sense")
		}
		kind := raw[:16]
		for items := raw[listHead+head : all]; len(items) > 0; items = items[each:] {
			data := items[ownerSize:each]
			switch {
			case string(kind) == string(x509Kind):
				if c, err := x509.ParseCertificate(data); err == nil {
					l.Certificates = append(l.Certificates, c)
				}
			case string(kind) == string(sumKind) && len(data) == 32:
				l.Digests = append(l.Digests, [32]byte(data))
			}
		}
		raw = raw[all:]
	}
	return l, nil
}

// vendorOf is who owns a variable of secure boot.
func vendorOf(name string) string {
	if name == DB || name == DBX {
		return security
	}
	return global
}

// timestamp is an EFI_TIME in UTC (UEFI 8.3).
func timestamp(t time.Time) []byte {
	t = t.UTC()
	out := binary.LittleEndian.AppendUint16(nil, uint16(t.Year()))
	return append(out, byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// Authenticated is a file .auth: the variable's next value, at that time, with what sign makes of what UEFI 8.2.2 says is signed.
func Authenticated(name string, value []byte, at time.Time, sign func(message []byte) ([]byte, error)) ([]byte, error) {
	vendor, err := guidBytes(vendorOf(name))
	if err != nil {
		return nil, err
	}
	message := append(bytes16(name)[:2*len(name)], vendor...)
	message = binary.LittleEndian.AppendUint32(message, signedAs)
	message = append(append(message, timestamp(at)...), value...)
	signature, err := sign(message)
	if err != nil {
		return nil, fmt.Errorf("sign variable %s: %w", name, err)
	}
	kind, err := guidBytes(ofPKCS7)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(timestamp(at), uint32(8+len(kind)+len(signature)))
	out = binary.LittleEndian.AppendUint16(out, revision2)
	out = binary.LittleEndian.AppendUint16(out, certGUID)
	return append(append(append(out, kind...), signature...), value...), nil
}

// SecureBoot is whether firmware starts only what it believes.
type SecureBoot string

// The states; "" is that of firmware which knows no secure boot, or of a machine that was started without UEFI.
const (
	On    SecureBoot = "on"
	Off   SecureBoot = "off"
	Setup SecureBoot = "setup" // off, and whoever comes first may say what is believed
)

// SecureBoot reads it.
func (v Vars) SecureBoot() SecureBoot {
	bit := func(name string) int {
		raw, err := v.read(name, global)
		if err != nil || len(raw) == 0 {
			return -1
		}
		return int(raw[0])
	}
	switch {
	case bit("SecureBoot") == 1:
		return On
	case bit("SetupMode") == 1:
		return Setup
	case bit("SecureBoot") == 0:
		return Off
	}
	return ""
}

// Believed reads DB or DBX; one that is not there believes nothing.
func (v Vars) Believed(name string) (Lists, error) {
	raw, err := v.read(name, strings.ToLower(vendorOf(name)))
	if missing(err) {
		return Lists{}, nil
	}
	if err != nil {
		return Lists{}, err
	}
	l, err := DecodeLists(raw)
	if err != nil {
		err = fmt.Errorf("read the firmware's variable %s: %w", name, err)
	}
	return l, err
}

// Lockdown is how far the kernel keeps root from changing it (kernel_lockdown(7)): none, integrity, confidentiality; "" when it does not
// say. Debian's kernel chooses integrity when secure boot is on. root is put before the path.
func Lockdown(root string) string {
	raw, err := os.ReadFile(root + "/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	for _, w := range strings.Fields(string(raw)) {
		if in, ok := strings.CutPrefix(w, "["); ok {
			return strings.TrimSuffix(in, "]")
		}
	}
	return ""
}
