package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// framing follows the requests of one HTTP/1 connection as bytes, to refuse what says in two ways where a body ends: net/http takes the
// safe one of them, but a proxy in front may have taken the other, and then one person's body is another's request (RFC 9112, sections 5.2,
// 6.1 and 11.2). Where it loses its way, net/http refuses the request itself.
type framing struct {
	wrong atomic.Pointer[string] // why the connection is not believed any more

	mode    mode
	line    []byte
	left    int64 // bytes until the end of a body or chunk
	begun   bool  // the request line was read
	old     bool  // HTTP/1.0
	lengths []string
	codings int
}

type mode int

const (
	inHead mode = iota
	inBody
	inSize // of a chunk
	inChunk
	behindChunk
	inTrailer
	lost // or HTTP/2, or a tunnel
)

func (f *framing) refuse(why string) {
	f.wrong.CompareAndSwap(nil, &why)
	f.mode = lost
}

// feed takes what was read.
func (f *framing) feed(p []byte) {
	for len(p) > 0 && f.mode != lost {
		if f.mode == inBody || f.mode == inChunk {
			n := min(f.left, int64(len(p)))
			p, f.left = p[n:], f.left-n
			switch {
			case f.left > 0:
			case f.mode == inBody:
				f.mode = inHead
			default:
				f.mode = behindChunk
			}
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			i = len(p) - 1
		}
		f.line, p = append(f.line, p[:i+1]...), p[i+1:]
		switch {
		case f.line[len(f.line)-1] == '\n':
			f.take(string(bytes.TrimRight(f.line, "\r\n")))
			f.line = f.line[:0]
		case len(f.line) > maxHeader+8<<10:
			f.mode, f.line = lost, nil
		}
	}
}

// take handles one line.
func (f *framing) take(line string) {
	switch f.mode {
	case inHead:
		f.head(line)
	case inSize:
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		switch {
		case err != nil || n < 0:
			f.mode = lost
		case n == 0:
			f.mode = inTrailer
		default:
			f.mode, f.left = inChunk, n
		}
	case behindChunk:
		f.mode = inSize
	case inTrailer:
		if line == "" {
			f.mode = inHead
		}
	}
}

func (f *framing) head(line string) {
	switch {
	case !f.begun:
		f.begun, f.old = line != "", strings.HasSuffix(line, " HTTP/1.0")
		f.lengths, f.codings = f.lengths[:0], 0
		if strings.HasSuffix(line, " HTTP/2.0") {
			f.mode = lost
		}
	case line == "":
		f.begun = false
		f.end()
	case line[0] == ' ' || line[0] == '\t':
		f.refuse("a header is folded over two lines")
	default:
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			f.lengths = append(f.lengths, strings.Trim(value, " \t"))
		case strings.EqualFold(name, "Transfer-Encoding"):
			f.codings++
		}
	}
}

// end decides, at the end of a head, where the body ends.
func (f *framing) end() {
	switch {
	case f.codings > 0 && len(f.lengths) > 0:
		f.refuse("it has both Content-Length and Transfer-Encoding")
	case f.codings > 0 && f.old:
		f.refuse("HTTP/1.0 knows no Transfer-Encoding")
	case len(f.lengths) > 1:
		f.refuse("it has more than one Content-Length")
	case f.codings > 0:
		f.mode = inSize
	case len(f.lengths) == 1:
		n, err := strconv.ParseInt(f.lengths[0], 10, 64)
		switch {
		case err != nil || n < 0:
			f.mode = lost
		case n > 0:
			f.mode, f.left = inBody, n
		}
	}
}

// framed is a listener whose connections are followed.
type framed struct{ net.Listener }

func (l framed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framedConn{Conn: c}, nil
}

type framedConn struct {
	net.Conn
	framing framing
	secure  *tls.Conn // nil: no TLS
}

func (c *framedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.framing.mode != lost {
		c.framing.feed(p[:n])
	}
	return n, err
}

func (c *framedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

type framingKey struct{}

func withFraming(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*framedConn); ok {
		ctx = context.WithValue(ctx, framingKey{}, &c.framing)
	}
	return withSecure(ctx, c)
}

// misframed is why r's connection is not believed any more; "" when it is.
func misframed(r *http.Request) string {
	f, _ := r.Context().Value(framingKey{}).(*framing)
	if f == nil {
		return ""
	}
	if why := f.wrong.Load(); why != nil {
		return *why
	}
	return ""
}
