package filecopy

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
)

// part is a run of a file's bytes.
type part struct{ at, size int64 }

// blockSize is tar's: everything in a stream is a whole number of them.
const blockSize = 512

// sparse writes a file that has holes as its data parts only, in GNU tar's format 1.0 (GNU tar manual, "Storing Sparse Files"), which
// archive/tar reads and does not write.
func (p *packer) sparse(f *os.File, h *tar.Header, parts []part) error {
	var list bytes.Buffer
	fmt.Fprintf(&list, "%d\n", len(parts))
	size := int64(0)
	for _, d := range parts {
		fmt.Fprintf(&list, "%d\n%d\n", d.at, d.size)
		size += d.size
	}
	pad(&list)
	size += int64(list.Len())
	var records bytes.Buffer
	for _, r := range [][2]string{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", h.Name},
		{"GNU.sparse.realsize", strconv.FormatInt(h.Size, 10)}, {"size", strconv.FormatInt(size, 10)},
		{"uid", strconv.Itoa(h.Uid)}, {"gid", strconv.Itoa(h.Gid)}} {
		records.WriteString(record(r[0], r[1]))
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		records.WriteString(record(key, h.PAXRecords[key]))
	}
	var out bytes.Buffer
	stand := h.Name
	if len(stand) > 80 {
		stand = path.Base(stand)
		stand = stand[:min(len(stand), 80)]
	}
	out.Write(rawHeader("PaxHeaders.0/"+stand, tar.TypeXHeader, int64(records.Len()), &tar.Header{Mode: 0o644}))
	pad(&records)
	out.Write(records.Bytes())
	out.Write(rawHeader("GNUSparseFile/"+stand, tar.TypeReg, size, h))
	out.Write(list.Bytes())
	if err := p.tar.Flush(); err != nil {
		return fmt.Errorf("send %q: %w", f.Name(), err)
	}
	if _, err := p.to.Write(out.Bytes()); err != nil {
		return fmt.Errorf("send %q: %w", f.Name(), err)
	}
	for _, d := range parts {
		if err := p.data(p.to, f, d); err != nil {
			return err
		}
	}
	if _, err := io.CopyN(p.to, zeros{}, -size&(blockSize-1)); err != nil {
		return fmt.Errorf("send %q: %w", f.Name(), err)
	}
	return nil
}

// pad fills a buffer to whole blocks.
func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&(blockSize-1))) }

// record is one of a PAX header: its own length, a blank, "key=value" and a newline (pax, "Extended Header").
func record(key, value string) string {
	rest := len(key) + len(value) + 3
	n := rest + len(strconv.Itoa(rest))
	if rest+len(strconv.Itoa(n)) != n {
		n = rest + len(strconv.Itoa(n))
	}
	return strconv.Itoa(n) + " " + key + "=" + value + "\n"
}

// rawHeader is a ustar header. Numbers that do not fit are 0: the PAX header before it has them.
func rawHeader(name string, kind byte, size int64, h *tar.Header) []byte {
	b := make([]byte, blockSize)
	octal := func(at, digits int, v int64) {
		if v < 0 || v >= 1<<(3*digits) {
			v = 0
		}
		copy(b[at:], fmt.Sprintf("%0*o", digits, v))
	}
	copy(b[:100], name)
	octal(100, 7, h.Mode)
	octal(108, 7, int64(h.Uid))
	octal(116, 7, int64(h.Gid))
	octal(124, 11, size)
	if !h.ModTime.IsZero() {
		octal(136, 11, h.ModTime.Unix())
	} else {
		octal(136, 11, 0)
	}
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[148:156], "        ")
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(148, 6, sum)
	b[154] = 0
	return b
}

// holes writes zeros as holes; finish gives the file its length.
type holes struct {
	f   *os.File
	end int64
}

// hole is how many zeros in a row are worth one.
const hole = 4 << 10

func (h *holes) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(hole, len(b)-done)
		if !zero(b[done : done+n]) {
			for done+n < len(b) { // one write for what follows on each other
				more := min(hole, len(b)-done-n)
				if zero(b[done+n : done+n+more]) {
					break
				}
				n += more
			}
			if _, err := h.f.WriteAt(b[done:done+n], h.end); err != nil {
				return done, err
			}
		}
		h.end += int64(n)
		done += n
	}
	return len(b), nil
}

func (h *holes) finish() error {
	st, err := h.f.Stat()
	switch {
	case err != nil:
		return err
	case st.Size() > h.end:
		return errors.New("is longer than what was written")
	case st.Size() < h.end:
		return h.f.Truncate(h.end)
	}
	return nil
}

func zero(b []byte) bool {
	for len(b) >= len(blank) {
		if !bytes.Equal(b[:len(blank)], blank[:]) {
			return false
		}
		b = b[len(blank):]
	}
	return bytes.Equal(b, blank[:len(b)])
}

var blank [hole]byte
