package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"hardnode.dev/internal/wire/host"
)

// platform begins the names of the images of the platform's components.
const platform = "jelastic/"

// fromRelease takes the image of a component from a release, going on behind what an earlier, broken transfer left.
func (s *Store) fromRelease(ctx context.Context, img host.Image) error {
	if s.Release == nil {
		return fmt.Errorf("fetch image %s: this host knows no releases", img.Name)
	}
	read, err := s.Release(ctx, img)
	if err != nil {
		return fmt.Errorf("fetch image %s from a release: %w", img.Name, err)
	}
	part, sum, have, err := s.openPart(img, true)
	if err != nil {
		return err
	}
	defer part.Close()
	if resumed := have > 0; resumed && have >= img.Bytes { // killed before it got its name, or damaged
		sum.Reset()
		have = 0
		if err := errors.Join(part.Truncate(0), seekStart(part)); err != nil {
			return fmt.Errorf("fetch image %s: %v", img.Name, err)
		}
	}
	if err := pour(part, sum, &ranges{ctx: ctx, read: read, at: have, end: img.Bytes}, img, have); err != nil {
		return fmt.Errorf("fetch image %s from a release: %w", img.Name, err) // the part stays: the next try goes on behind it
	}
	return s.finish(part, sum, img, "a release")
}

// ranges reads a file part by part.
type ranges struct {
	ctx     context.Context
	read    func(ctx context.Context, offset int64, length int) ([]byte, error)
	at, end int64
	left    []byte
}

// Read implements io.Reader.
func (r *ranges) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if r.at >= r.end {
			return 0, io.EOF
		}
		raw, err := r.read(r.ctx, r.at, int(min(host.MaxRange, r.end-r.at)))
		if err != nil {
			return 0, err
		}
		r.left, r.at = raw, r.at+int64(len(raw))
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}
