package flatten

import (
	"context"
	"fmt"
	"io"

	"hardnode.dev/orchestrator/registry/erofs"
)

// Fill reads the layers a second time and hands on the contents that survived.
type Fill struct {
	want  map[uint64]*erofs.Node
	layer uint64
}

// NewFill takes the files of a laid-out plan.
func NewFill(p *erofs.Plan) *Fill {
	f := &Fill{want: map[uint64]*erofs.Node{}}
	for _, n := range p.Files() {
		f.want[n.Key] = n
	}
	return f
}

// Layer reads the next layer, the lowest first, and calls put for each stored part of a file that is part of the image.
func (f *Fill) Layer(ctx context.Context, r io.Reader, put func(*erofs.Node, erofs.Extent, io.Reader) error) error {
	a := &archive{r: r}
	for entry := uint64(0); ; entry++ {
		h, err := a.next()
		if err == io.EOF {
			f.layer++
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read layer %d: %w", f.layer, err)
		}
		key := f.layer<<32 | entry
		n := f.want[key]
		if n == nil {
			continue
		}
		delete(f.want, key)
		for _, e := range a.extents {
			if err := put(n, e, a); err != nil {
				return fmt.Errorf("layer %d, entry %.200q: %w", f.layer, h.Name, err)
			}
		}
	}
}

// Done tells whether every file got its content.
func (f *Fill) Done() error {
	if len(f.want) > 0 {
		return fmt.Errorf("%w: %d files have no content: its layers changed while it was read", ErrImage, len(f.want))
	}
	return nil
}
