package flatten

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"hardnode.dev/orchestrator/registry/erofs"
)

// maxHead is how many bytes an entry's headers may have: two long names, a PAX header and a map of holes, each at most 1 MiB.
const maxHead = 5 << 20

// archive reads a layer entry by entry. Package tar reads the headers only: it would give a hole as so many zeros, and a header of 512
// bytes can name holes of 8 EiB. Here an entry is what is stored of it, with the places where that belongs.
type archive struct {
	r       io.Reader
	left    int64          // bytes of the entry's content that were not read
	pad     int64          // bytes behind it
	extents []erofs.Extent // where the content belongs in the file, in order; the rest of the file is holes
}

// next goes to the next entry; io.EOF is the archive's end.
func (a *archive) next() (*tar.Header, error) {
	if _, err := io.CopyN(io.Discard, a.r, a.left); err != nil {
		return nil, asImage(cutOff(err))
	}
	if _, err := io.CopyN(io.Discard, a.r, a.pad); err != nil && err != io.EOF { // the last padding may be missing
		return nil, asImage(err)
	}
	head := &headReader{r: a.r}
	h, err := tar.NewReader(head).Next()
	a.left, a.pad, a.extents = 0, int64(-head.seen.Len())&511, nil // a global header's own padding was not read
	if err != nil {
		return nil, asImage(err)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
	default:
		// Go's reader takes other known types for headers alone, and so must we; an unknown one may have content.
		if !strings.ContainsRune("123456gx", rune(h.Typeflag)) {
			a.sized(h.Size)
		}
		return h, nil
	}
	if h.Typeflag != tar.TypeGNUSparse && !sparsePAX(h.PAXRecords) {
		a.sized(h.Size)
		if h.Size > 0 {
			a.extents = []erofs.Extent{{Length: h.Size}}
		}
		return h, nil
	}
	return h, a.sparse(h, head.seen.Bytes())
}

func (a *archive) sized(n int64) { a.left, a.pad = max(n, 0), -max(n, 0)&511 }

// Read gives the stored content of the entry.
func (a *archive) Read(b []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.r.Read(b[:min(int64(len(b)), a.left)])
	if a.left -= int64(n); err == io.EOF {
		err = nil
		if n == 0 {
			err = asImage(io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// headReader keeps what package tar reads of an entry's headers.
type headReader struct {
	r    io.Reader
	seen bytes.Buffer
}

func (h *headReader) Read(b []byte) (int, error) {
	if h.seen.Len()+len(b) > maxHead {
		return 0, bad("archive: the headers of one entry are longer than %d bytes", maxHead)
	}
	n, err := h.r.Read(b)
	h.seen.Write(b[:n])
	return n, err
}

// Names of GNU tar's PAX records for sparse files, formats 0.0, 0.1 and 1.0 ("Storing Sparse Files" in its manual). Package tar turns
// 0.0 into 0.1.
const (
	sparseMajor = "GNU.sparse.major"
	sparseMinor = "GNU.sparse.minor"
	sparseMap   = "GNU.sparse.map"
)

func sparsePAX(r map[string]string) bool {
	switch r[sparseMajor] + "." + r[sparseMinor] {
	case "0.0", "0.1", "1.0":
		return true
	case ".":
		return r[sparseMap] != ""
	}
	return false
}

// sparse finds the map of a sparse entry and how much is stored. Package tar has checked the map's order and that it is within the file.
func (a *archive) sparse(h *tar.Header, head []byte) error {
	at, err := mainHeader(head)
	if err != nil {
		return err
	}
	stored, ok := numeric(head[at+124 : at+136])
	if s := h.PAXRecords["size"]; s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		stored, ok = n, err == nil
	}
	rest := head[at+512:]
	switch {
	case h.Typeflag == tar.TypeGNUSparse:
		err = a.oldMap(head[at:at+512], rest)
	case h.PAXRecords[sparseMajor] == "1":
		stored -= int64(len(rest)) // the map is the first part of the content
		err = a.textMap(strings.SplitN(string(rest), "\n", 1<<20), true)
	case h.PAXRecords[sparseMap] != "":
		err = a.textMap(strings.Split(h.PAXRecords[sparseMap], ","), false)
	}
	if err != nil {
		return err
	}
	total := int64(0)
	for _, e := range a.extents {
		total += e.Length
	}
	if !ok || total > stored {
		return bad("archive: sparse file whose map names %d bytes, of which %d are stored", total, stored)
	}
	a.sized(stored)
	return nil
}

// mainHeader is where the entry's own header lies behind long names and PAX records.
func mainHeader(head []byte) (int, error) {
	for at := 0; at+512 <= len(head); {
		if !strings.ContainsRune("xgLK", rune(head[at+156])) {
			return at, nil
		}
		n, ok := numeric(head[at+124 : at+136])
		if !ok || n < 0 || n > maxHead {
			break
		}
		at += 512 + int(n+511)&^511
	}
	return 0, bad("archive: header of a sparse file not found")
}

// numeric reads a number of a header: octal, or binary when the first bit is set (GNU).
func numeric(b []byte) (int64, bool) {
	if b[0]&0x80 != 0 {
		n := int64(b[0] & 0x3f)
		if b[0]&0x40 != 0 {
			return 0, false // negative
		}
		for _, c := range b[1:] {
			if n > 1<<54 {
				return 0, false
			}
			n = n<<8 | int64(c)
		}
		return n, true
	}
	s := strings.Trim(string(b), " \x00")
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(s, 8, 64)
	return n, err == nil && n >= 0
}

func (a *archive) put(offset, length int64, ok bool) error {
	if !ok || offset < 0 || length < 0 {
		return bad("archive: sparse file with a broken map")
	}
	if length > 0 {
		a.extents = append(a.extents, erofs.Extent{Offset: offset, Length: length})
	}
	return nil
}

// oldMap reads the map of GNU tar's own format: four places in the header, 21 in each block that follows.
func (a *archive) oldMap(header, more []byte) error {
	table, places, extended := header[386:], 4, header[482] > 0
	for {
		for i := range places {
			e := table[i*24:]
			if e[0] == 0 {
				break
			}
			offset, ok1 := numeric(e[:12])
			length, ok2 := numeric(e[12:24])
			if err := a.put(offset, length, ok1 && ok2); err != nil {
				return err
			}
		}
		if !extended {
			return nil
		}
		if len(more) < 512 {
			return bad("archive: sparse file whose map is cut off")
		}
		table, places, extended, more = more[:512], 21, more[504] > 0, more[512:]
	}
}

// textMap reads pairs of numbers, behind their count if there is one.
func (a *archive) textMap(fields []string, counted bool) error {
	n := len(fields) / 2
	if counted {
		k, err := strconv.ParseInt(fields[0], 10, 32)
		if fields = fields[1:]; err != nil || k < 0 || int(k) > len(fields)/2 {
			return bad("archive: sparse file with a broken map")
		}
		n = int(k)
	}
	for i := range n {
		offset, err1 := strconv.ParseInt(fields[2*i], 10, 64)
		length, err2 := strconv.ParseInt(fields[2*i+1], 10, 64)
		if err := a.put(offset, length, errors.Join(err1, err2) == nil); err != nil {
			return err
		}
	}
	return nil
}
