package session

import (
	"bytes"
	"io"

	"hardnode.dev/internal/wire/host"
)

// inbox is what came on one channel.
type inbox struct {
	buf     bytes.Buffer
	allowed int // bytes the peer may send yet
	eof     bool
	closed  bool // nobody wants it any more
}

// take waits until the peer allows bytes, and takes up to n of them.
func (l *Link) take(c host.Channel, n int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.flow && l.mu.credit[c] == 0 && l.mu.err == nil {
		l.mu.change.Wait()
	}
	if l.mu.err != nil {
		return 0, broken(l.mu.err)
	}
	if l.flow {
		n = int(min(int64(n), l.mu.credit[c]))
		l.mu.credit[c] -= int64(n)
	}
	return n, nil
}

// Reader gives what came on one channel; the peer may send more as this is read. io.EOF is the end as the other end meant it; ErrBroken
// any other. Close drops what is there and what still comes.
func (l *Link) Reader(c host.Channel) io.ReadCloser { return reader{l, c} }

type reader struct {
	l *Link
	c host.Channel
}

func (r reader) Read(p []byte) (int, error) {
	l := r.l
	if len(p) == 0 {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.mu.in[r.c]
	for {
		if free := l.o.Window - b.allowed - b.buf.Len(); l.flow && free >= l.o.Window/2 && !b.eof && !b.closed && l.mu.err == nil &&
			!l.mu.ended {
			b.allowed += free
			l.mu.Unlock()
			l.write(host.ChanWindow, host.WindowPayload(r.c, uint32(free)))
			l.mu.Lock()
			continue
		}
		switch {
		case b.closed:
			return 0, errOver
		case b.buf.Len() > 0:
			n, _ := b.buf.Read(p)
			l.mu.change.Broadcast()
			return n, nil
		case b.eof, l.mu.exit != nil:
			return 0, io.EOF
		case l.mu.err != nil:
			return 0, broken(l.mu.err)
		}
		l.mu.change.Wait()
	}
}

func (r reader) Close() error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.l.mu.in[r.c].closed = true
	r.l.mu.in[r.c].buf.Reset()
	r.l.mu.change.Broadcast()
	return nil
}
