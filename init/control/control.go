// Package control answers the programs of this host on init's socket: GET /v1/status, GET /v1/loaded, GET /v1/ended/PID, POST /v1/reboot,
// POST /v1/poweroff, POST /v1/kexec, POST /v1/hot, POST /v1/hot/keep, POST /v1/quiet.
//
// Owns: the smallest part of HTTP/1.1 (RFC 9112) that those need, over a unix socket that only root can open, and the group that may ask
// for the status.
// In: one request a connection, at most 4 KiB of body.
// Out: JSON; problem+json on a bad request.
// Never: listens on a network, or brings net/http (and with it TLS) into PID 1: that is what the few lines here are for.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// Server answers. Loaded returns when the modules that containers need are loaded, with why one is not. Ended is how a process ended that
// became init's child. Leave is told to leave the machine; it returns at once. Next says why the kernel has no system that it could start
// itself. Replace takes an order to replace programs; Keep keeps those of a root, which are tried. Quiet keeps lines off a terminal until
// its undo is called; nil: it knows no such terminal. Say takes what goes wrong.
type Server struct {
	Ended   func(pid int) (code int, known bool)
	Status  func() boot.Status
	Loaded  func(context.Context) error
	Leave   func(upkeep.Leave)
	Next    func() error
	Replace func(boot.HotOrder) error
	Keep    func(root string) error
	Quiet   func(tty string) (undo func())
	Say     func(format string, args ...any)
}

const (
	maxBody  = 4 << 10
	maxHead  = 8 << 10
	deadline = 5 * time.Second // a client that neither writes nor reads is dropped
)

// Serve answers until ctx ends: at once, but for /v1/loaded, which has nothing to say before the modules are loaded.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	run.Accept(ctx, l.Accept, func(err error) { s.Say("control: accept: %v", err) }, func(c net.Conn) {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(deadline))
		undo := s.answer(ctx, c, within{c}, mayAll(c))
		if undo == nil {
			return
		}
		defer undo() // when the client closes the connection, or dies
		defer context.AfterFunc(ctx, func() { c.Close() })()
		c.SetReadDeadline(time.Time{})
		c.Read(make([]byte, 1))
	})
	return nil
}

// mayAll tells whether the client runs as the user that this program does; others may only ask for the status.
func mayAll(c net.Conn) bool {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) { peer, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return false
	}
	return peer != nil && int(peer.Uid) == os.Geteuid()
}

// within writes to a client that must take it before the deadline, however long the answer was waited for.
type within struct{ net.Conn }

func (w within) Write(p []byte) (int, error) {
	w.SetWriteDeadline(time.Now().Add(deadline))
	return w.Conn.Write(p)
}

// request is what is left of HTTP here.
type request struct {
	method, path string
	body         []byte
}

// weak is what whoever is not root may ask for.
var weak = []string{"GET /v1/status", "POST /v1/quiet"}

// answer answers. What it returns is to be called when the client closes the connection; nil: nothing.
func (s Server) answer(ctx context.Context, r io.Reader, w io.Writer, all bool) (undo func()) {
	req, err := readRequest(r)
	if err != nil {
		reply(w, 400, problem{400, "invalid", err.Error()})
		return nil
	}
	if !all && !slices.Contains(weak, req.method+" "+req.path) {
		reply(w, 403, problem{403, "denied", "only root may ask for more than GET /v1/status; ask the agent"})
		return nil
	}
	if pid, ok := strings.CutPrefix(req.path, boot.PathEnded); ok && req.method == "GET" {
		s.ended(w, pid)
		return nil
	}
	switch req.method + " " + req.path {
	case "GET /v1/status":
		reply(w, 200, s.Status())
	case "GET /v1/loaded":
		if err := s.Loaded(ctx); err != nil {
			reply(w, 503, problem{503, "unavailable", err.Error()})
			return nil
		}
		reply(w, 200, struct{}{})
	case "POST /v1/reboot", "POST /v1/poweroff", "POST /v1/kexec":
		order, err := orderOf(req.body)
		if err != nil {
			reply(w, 400, problem{400, "invalid", err.Error()})
			return nil
		}
		order.PowerOff, order.Kexec = req.path == "/v1/poweroff", req.path == "/v1/kexec"
		if order.Kexec {
			if err := s.Next(); err != nil {
				reply(w, 409, problem{409, "conflict", err.Error()})
				return nil
			}
		}
		reply(w, 202, struct{}{})
		s.Leave(order)
	case "POST " + boot.PathHot, "POST " + boot.PathKeep:
		var o boot.HotOrder
		if err := json.Unmarshal(req.body, &o); err != nil {
			reply(w, 400, problem{400, "invalid", fmt.Sprintf("read body: %v", err)})
			return nil
		}
		do := func() error { return s.Replace(o) }
		if req.path == boot.PathKeep {
			do = func() error { return s.Keep(o.Root) }
		}
		if err := do(); err != nil {
			reply(w, 409, problem{409, "conflict", err.Error()})
			return nil
		}
		reply(w, 202, struct{}{})
	case "POST /v1/quiet":
		var b struct {
			TTY string `json:"tty"`
		}
		if err := json.Unmarshal(req.body, &b); err == nil {
			undo = s.Quiet(b.TTY)
		}
		if undo == nil {
			reply(w, 400, problem{400, "invalid", `read body: want {"tty":"…"}, one of the host's terminals`})
			return nil
		}
		reply(w, 200, struct{}{})
	default:
		reply(w, 404, problem{404, "not_found",
			fmt.Sprintf("%s %s: want GET /v1/status, GET /v1/loaded, GET /v1/ended/PID, POST /v1/reboot, POST /v1/poweroff, "+
				"POST /v1/kexec, POST /v1/hot, POST /v1/hot/keep or POST /v1/quiet", req.method, req.path)})
	}
	return undo
}

// ended answers how a process ended.
func (s Server) ended(w io.Writer, text string) {
	pid, err := strconv.Atoi(text)
	if err != nil {
		reply(w, 400, problem{400, "invalid", fmt.Sprintf("process %q: want its number", text)})
		return
	}
	code, known := s.Ended(pid)
	if !known {
		reply(w, 404, problem{404, "not_found", fmt.Sprintf("process %d: none of that number has ended here, or long ago", pid)})
		return
	}
	reply(w, 200, boot.Ended{Code: code})
}

func readRequest(r io.Reader) (request, error) {
	head := &io.LimitedReader{R: r, N: maxHead}
	tp := textproto.NewReader(bufio.NewReader(head))
	line, err := tp.ReadLine()
	if err != nil {
		return request{}, fmt.Errorf("read request: %v", err)
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/1.") {
		return request{}, fmt.Errorf("read request line %q: want METHOD PATH HTTP/1.1", line)
	}
	path, _, _ := strings.Cut(parts[1], "?")
	req := request{method: parts[0], path: path}
	header, err := tp.ReadMIMEHeader()
	if err != nil {
		return request{}, fmt.Errorf("read request headers: %v", err)
	}
	if header.Get("Transfer-Encoding") != "" {
		return request{}, fmt.Errorf("read request: send Content-Length, not Transfer-Encoding")
	}
	length := header.Get("Content-Length")
	if length == "" {
		return req, nil
	}
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil || n > maxBody {
		return request{}, fmt.Errorf("read request: Content-Length %q: want a number up to %d", length, maxBody)
	}
	head.N += int64(n)
	req.body = make([]byte, n)
	if _, err := io.ReadFull(tp.R, req.body); err != nil {
		return request{}, fmt.Errorf("read request body: %v", err)
	}
	return req, nil
}

// orderOf reads {"reason":"…","by":"…"}: a person or program must say why, and may say who.
func orderOf(body []byte) (order upkeep.Leave, err error) {
	var b struct {
		Reason string `json:"reason"`
		By     string `json:"by"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return order, fmt.Errorf(`read body: %v: want {"reason":"…"}, and "by" if somebody else ordered it`, err)
	}
	for _, t := range []struct {
		name, text string
		least      int
		most       int
		to         *string
	}{{"reason", b.Reason, 1, upkeep.MaxReason, &order.Reason}, {"by", b.By, 0, upkeep.MaxBy, &order.By}} {
		*t.to = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, t.text)
		if n := len(*t.to); n < t.least || n > t.most {
			return order, fmt.Errorf("read body: %q: want %d to %d characters", t.name, t.least, t.most)
		}
	}
	return order, nil
}

// problem is RFC 9457's shape with the platform's code.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

var phrases = map[int]string{200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
	409: "Conflict", 503: "Service Unavailable"}

func reply(w io.Writer, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	kind := "application/json"
	if status >= 400 {
		kind = "application/problem+json"
	}
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, phrases[status], kind,
		len(body), body)
}
