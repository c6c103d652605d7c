package fetch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// part is the path of an image's temporary file.
func (s *Store) part(img host.Image) string { return filepath.Join(s.Dir, img.Digest.Hex()+".part") }

// openPart opens the image's temporary file. With resume, what it holds counts and has been hashed.
func (s *Store) openPart(img host.Image, resume bool) (*os.File, hash.Hash, int64, error) {
	flags := os.O_RDWR | os.O_CREATE
	if !resume {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(s.part(img), flags, 0o600)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open image file: %v", err)
	}
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("read image file: %v", err)
	}
	return f, sum, have, nil
}

// pour writes r behind the have bytes that are there, hashing as it goes, and never more than the image may have.
func pour(w io.Writer, sum hash.Hash, r io.Reader, img host.Image, have int64) error {
	if img.Bytes > 0 {
		r = io.LimitReader(r, img.Bytes-have+1)
	}
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w, sum)}, onlyReader{r}, make([]byte, 64<<10))
	if err != nil {
		return err
	}
	if img.Bytes > 0 && have+n != img.Bytes {
		if have+n < img.Bytes {
			return io.ErrUnexpectedEOF
		}
		return &WrongError{Image: img, Why: fmt.Sprintf("it is larger than the %d bytes it should have", img.Bytes)}
	}
	return nil
}

// finish verifies the file and gives it its name, durably.
func (s *Store) finish(part *os.File, sum hash.Hash, img host.Image, source string) error {
	if got := wire.DigestOf([32]byte(sum.Sum(nil))); got != img.Digest {
		os.Remove(part.Name())
		// short: the line must fit a console
		return &WrongError{Image: img, Source: source, Why: fmt.Sprintf("its content has digest sha256:%.12s…", got.Hex())}
	}
	to := filepath.Join(s.Dir, img.Digest.Hex()+".erofs")
	err := errors.Join(part.Chmod(0o444), part.Sync())
	if err == nil {
		err = os.Rename(part.Name(), to)
	}
	if err != nil {
		os.Remove(part.Name())
		return fmt.Errorf("store image %s: %v", img.Name, err)
	}
	return keep.SyncDir(s.Dir)
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
