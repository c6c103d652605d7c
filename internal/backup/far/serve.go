package far

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/wire"
)

// Shelf is where the answering end keeps objects. Names are checked before it is asked.
type Shelf interface {
	// May says why no backup of a node may be put there, or nil.
	May(ctx context.Context, node wire.CTID) error
	Room(ctx context.Context) (Room, error)
	// Put makes an object of so many bytes, whole or not at all.
	Put(ctx context.Context, name string, bytes int64, r io.Reader) error
	// Get opens one; the error is fs.ErrNotExist when there is none.
	Get(ctx context.Context, name string) (r io.ReadCloser, bytes int64, err error)
	List(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, name string) error
}

// errRead: the asker may not change anything.
var errRead = errors.New("this session is for reading only")

// Serve answers until the asker has nothing more to ask. change tells whether it may put and delete.
func Serve(ctx context.Context, s Shelf, change bool, in io.Reader, out io.Writer) error {
	r, w := bufio.NewReaderSize(in, maxLine), bufio.NewWriterSize(out, 64<<10)
	for {
		var q ask
		switch err := read(r, &q); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("a question about backups: %w", err)
		case q.Bytes < 0 || q.Bytes > MaxObject || q.Bytes > 0 && q.What != put:
			return fmt.Errorf("a question about backups: %q with %d bytes behind it", q.What, q.Bytes)
		}
		body := &io.LimitedReader{R: r, N: q.Bytes}
		a, data, err := one(ctx, s, change, q, body)
		if _, derr := io.Copy(io.Discard, body); derr != nil || body.N > 0 {
			return fmt.Errorf("put %q: it ended in the middle: %w", q.Name, errors.Join(derr, io.ErrUnexpectedEOF))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			a = answer{None: true}
		case err != nil:
			a = answer{Error: err.Error()}
		}
		err = write(w, a)
		if err == nil && data != nil {
			if _, err = io.CopyN(w, data, a.Bytes); err != nil {
				err = fmt.Errorf("get %q: %w", q.Name, err)
			}
		}
		if data != nil {
			data.Close()
		}
		if err = errors.Join(err, w.Flush()); err != nil {
			return err
		}
	}
}

// one answers one question.
func one(ctx context.Context, s Shelf, change bool, q ask, body io.Reader) (a answer, data io.ReadCloser, err error) {
	if q.What == put || q.What == remove || q.What == get {
		o, err := backup.ParseObject(q.Name)
		if err == nil && q.What == put && change {
			err = s.May(ctx, o.Node)
		}
		if err != nil {
			return a, nil, err
		}
	}
	switch {
	case q.What == may && !change, q.What == put && !change, q.What == remove && !change:
		err = errRead
	case q.What == may:
		err = s.May(ctx, q.Node)
	case q.What == room:
		var r Room
		r, err = s.Room(ctx)
		a.Room = &r
	case q.What == put:
		err = s.Put(ctx, q.Name, q.Bytes, body)
	case q.What == remove:
		err = s.Delete(ctx, q.Name)
	case q.What == get:
		if data, a.Bytes, err = s.Get(ctx, q.Name); err == nil && a.Bytes > MaxObject {
			data.Close()
			data, err = nil, fmt.Errorf("%s: has more than %d bytes", q.Name, MaxObject)
		}
	case q.What == list:
		if err = backup.ParsePrefix(q.Name); err != nil {
			break
		}
		var names []string
		if names, err = s.List(ctx, q.Name); err == nil {
			return listed(names)
		}
	default:
		err = fmt.Errorf("%.40q is not known: update this host's release", q.What)
	}
	return a, data, err
}

func listed(names []string) (a answer, data io.ReadCloser, err error) {
	raw, err := json.Marshal(names)
	if err == nil && len(raw) > MaxObject {
		err = fmt.Errorf("there are %d objects, which is too many for one list: name a node", len(names))
	}
	if err != nil {
		return a, nil, err
	}
	return answer{Bytes: int64(len(raw))}, io.NopCloser(bytes.NewReader(raw)), nil
}
