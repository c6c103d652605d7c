package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

// Check reads a bundle as a host reads a mirror: both repositories are looked at, and put is given each file that both name. What put reads
// ends in a Refusal, in place of io.EOF, when it is not the file that was named. A file that nobody names, or one that is missing, refuses
// the bundle.
func Check(ctx context.Context, r io.Reader, a trust.Anchors, kept trust.State, now time.Time,
	put func(trust.Target, io.Reader) error) (trust.View, trust.State, error) {
	b, m, err := Open(r)
	if err != nil {
		return trust.View{}, kept, err
	}
	v, next, err := trust.Look(ctx, m.Image, m.Director, a, kept, now)
	if err != nil {
		return v, next, err
	}
	missing := slices.Clone(v.Agreed)
	for {
		remote, content, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v, next, err
		}
		i := slices.IndexFunc(missing, func(t trust.Target) bool { return t.Remote() == remote })
		if i < 0 {
			return v, next, &trust.Refusal{Kind: trust.Disagree, Reason: fmt.Sprintf("the bundle has a file %q that the repositories do "+
				"not name, or has it twice", remote), Next: "make the bundle again"}
		}
		if err := put(missing[i], Verified(missing[i], content)); err != nil {
			return v, next, err
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		return v, next, &trust.Refusal{Kind: trust.Unavailable, Reason: fmt.Sprintf("the bundle lacks %d of %d files, the first of "+
			"them is %s",
			len(missing), len(v.Agreed), missing[0].Path), Next: "copy the bundle again: it is cut off"}
	}
	return v, next, nil
}

// Verified reads a target's content; its end is a Refusal when it was not the content named. No more is read than the target's length.
func Verified(t trust.Target, r io.Reader) io.Reader {
	return &verified{target: t, in: io.LimitReader(r, t.Length+1), sum: sha256.New()}
}

type verified struct {
	target trust.Target
	in     io.Reader
	sum    hash.Hash
	length int64
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.in.Read(p)
	v.sum.Write(p[:n])
	v.length += int64(n)
	if errors.Is(err, io.EOF) {
		if bad := v.target.Holds(v.length, wire.Digest(fmt.Sprintf("sha256:%x", v.sum.Sum(nil)))); bad != nil {
			return n, bad
		}
	}
	return n, err
}
