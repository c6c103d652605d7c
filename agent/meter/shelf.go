package meter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

// shelf keeps the records of one step in files, each named by its first revision: per revisions in a file, keep files. A file is a row of
// batches, one a revision: a line with revision, end, length and checksum, then that many bytes, a line of JSON for each record. What was
// cut off while it was written is cut off when the shelf is opened.
type shelf struct {
	dir       string
	per, keep int
	files     []wire.Revision // first revisions, ascending
	last      wire.Revision   // 0: none yet
	size      int64           // of the last file
}

// entry is a record as it is kept: with the counters by which the next one goes on.
type entry struct {
	usage.Record
	Mark mark `json:"mark"`
}

func (s *shelf) path(first wire.Revision) string {
	return filepath.Join(s.dir, fmt.Sprintf("%012d", first))
}

// open finds out what is there.
func (s *shelf) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make directory of use: %w", err)
	}
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list records of use: %w", err)
	}
	for _, e := range list {
		if n, err := strconv.ParseInt(e.Name(), 10, 64); err == nil && n > 0 && e.Type().IsRegular() {
			s.files = append(s.files, wire.Revision(n))
		}
	}
	slices.Sort(s.files)
	for len(s.files) > 0 { // the last file may be cut off, even before its first record
		first := s.files[len(s.files)-1]
		b, err := os.ReadFile(s.path(first))
		if err != nil {
			return fmt.Errorf("read records of use: %w", err)
		}
		s.size, s.last = 0, first-1
		for {
			h, body, ok := batch(b[s.size:])
			if !ok || h.revision != s.last+1 {
				break
			}
			s.last, s.size = h.revision, s.size+int64(h.line+len(body))
		}
		if int64(len(b)) > s.size {
			if err := os.Truncate(s.path(first), s.size); err != nil {
				return fmt.Errorf("cut off half a record of use: %w", err)
			}
		}
		return nil
	}
	return nil
}

// header is the first line of a batch.
type header struct {
	revision wire.Revision
	end      int64
	line     int // its own length
}

// batch is the first one of b; false when it is not whole.
func batch(b []byte) (h header, body []byte, ok bool) {
	n := bytes.IndexByte(b[:min(len(b), 100)], '\n')
	if n < 0 {
		return h, nil, false
	}
	f := strings.Fields(string(b[:n]))
	if len(f) != 4 {
		return h, nil, false
	}
	revision, err := strconv.ParseInt(f[0], 10, 64)
	end, err2 := strconv.ParseInt(f[1], 10, 64)
	length, err3 := strconv.ParseInt(f[2], 10, 32)
	sum, err4 := strconv.ParseUint(f[3], 16, 32)
	h = header{wire.Revision(revision), end, n + 1}
	if errors.Join(err, err2, err3, err4) != nil || length < 0 || len(b)-h.line < int(length) {
		return h, nil, false
	}
	body = b[h.line : h.line+int(length)]
	return h, body, crc32.ChecksumIEEE(body) == uint32(sum)
}

// add keeps the records of one more revision, on the disk; if it can't, nothing is changed.
func (s *shelf) add(end int64, list []entry) error {
	first, size := s.last+1, int64(0)
	if n := len(s.files); n > 0 && s.last-s.files[n-1]+1 < wire.Revision(s.per) {
		first, size = s.files[n-1], s.size
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for _, e := range list {
		e.Revision = s.last + 1
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	all := append(fmt.Appendf(nil, "%d %d %d %08x\n", s.last+1, end, body.Len(), crc32.ChecksumIEEE(body.Bytes())), body.Bytes()...)
	f, err := os.OpenFile(s.path(first), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("keep records of use: %w", err)
	}
	_, err = f.WriteAt(all, size)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		err = errors.Join(err, f.Truncate(size), f.Close())
		return fmt.Errorf("keep records of use: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("keep records of use: %w", err)
	}
	if size == 0 && !slices.Contains(s.files, first) {
		s.files = append(s.files, first)
	}
	s.last, s.size = s.last+1, size+int64(len(all))
	for len(s.files) > s.keep {
		if err := os.Remove(s.path(s.files[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // the next one tries again
		}
		s.files = s.files[1:]
	}
	return nil
}

// gone is the last revision that is not kept any more.
func (s *shelf) gone() wire.Revision {
	if len(s.files) == 0 {
		return s.last
	}
	return s.files[0] - 1
}

// each calls f for the batches of later revisions than since, in order, until it says false.
func (s *shelf) each(since wire.Revision, f func(h header, body []byte) bool) error {
	for i, first := range s.files {
		if i+1 < len(s.files) && s.files[i+1]-1 <= since {
			continue
		}
		b, err := os.ReadFile(s.path(first))
		if err != nil {
			return fmt.Errorf("read records of use: %w", err)
		}
		for len(b) > 0 {
			h, body, ok := batch(b)
			if !ok {
				break // damaged: the next file goes on
			}
			if h.revision > since && !f(h, body) {
				return nil
			}
			b = b[h.line+len(body):]
		}
	}
	return nil
}

// entries are those of a batch, of one container alone unless id is 0.
func entries(body []byte, id wire.CTID) (list []entry) {
	only := []byte(`{"ctid":` + id.String() + `,`)
	for line := range bytes.Lines(body) {
		var e entry
		if id != 0 && !bytes.HasPrefix(line, only) {
			continue
		}
		if json.Unmarshal(line, &e) == nil {
			list = append(list, e)
		}
	}
	return list
}
