package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	"hardnode.dev/internal/wire/operator"
)

type answered codes.Code

func (a answered) Error() string    { return "etcdserver: " + codes.Code(a).String() }
func (a answered) Code() codes.Code { return codes.Code(a) }

// TestUnconfirmed: a store that is slow is no secret of the orchestrator's: the caller is told, and what to do.
func TestUnconfirmed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want operator.Code
	}{
		{answered(codes.Unavailable), operator.Unavailable}, // "etcdserver: request timed out"
		{answered(codes.ResourceExhausted), operator.Unavailable},
		{fmt.Errorf("wait for revision 7: %w", context.DeadlineExceeded), operator.Unavailable},
		{ErrBusy, operator.Unavailable},
		{answered(codes.InvalidArgument), operator.Internal},
		{context.Canceled, operator.Unavailable},
		{answered(codes.Canceled), operator.Unavailable},
		{errors.New("bolt: file is damaged"), operator.Internal},
	} {
		err := unconfirmed(c.err)
		if p := operator.AsProblem(err); p.Code != c.want || p.Next == "" || !errors.Is(err, c.err) {
			t.Errorf("%v: %+v, want %s", c.err, p, c.want)
		}
	}
}

// TestDeadlineOfAWrite: a write whose time is over says so, and nothing of it is stored. Whether the member would still have taken it is a
// matter of chance, so it is tried often.
func TestDeadlineOfAWrite(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for range 300 {
		_, err := s.Update(ctx, func(tx *Tx) error {
			Operations.Put(tx, "op-1", Operation{})
			return nil
		})
		if p := operator.AsProblem(err); p.Code != operator.Unavailable {
			t.Fatalf("got %v: %+v", err, p)
		}
	}
	if _, there := Operations.Get(s.View(), "op-1"); there {
		t.Error("a write that was refused is there")
	}
}
