package mount

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"sync"
	"time"

	"hardnode.dev/agent/mount/message"
	"hardnode.dev/agent/mount/serve"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// Bounds of what other hosts may have here.
const (
	maxSessions = 256              // mounts
	maxConns    = 320              // connections, those that have not said yet what they want among them
	greetWithin = 5 * time.Second  // a connection says what it wants
	idleFor     = 60 * time.Second // a mount's open files are kept without a connection
	lookEvery   = time.Second      // at what Work says now
)

// sessions are the mounts of other hosts.
type sessions struct {
	sync.Mutex
	at map[string]*session // by who has it and its name
}

type session struct {
	from     wire.HostID
	hello    message.Hello
	readOnly bool
	files    *serve.Session
	conn     net.Conn  // nil: there is none
	left     time.Time // since when
	gone     bool
}

// serve answers other hosts while a volume is shared.
func (m *Mounts) serve(ctx context.Context) {
	for m.sharing(ctx) {
		if err := m.listen(ctx); err != nil && ctx.Err() == nil {
			m.o.Log.Warn("other hosts can't mount volumes of this one", logging.Err, err)
			run.Wait(ctx, 5*time.Second)
		}
	}
}

// aHost wants the certificate of a host.
func aHost(p identity.Peer) error {
	if !p.IsHost() {
		return fmt.Errorf("want a host, the other side is %s", p)
	}
	return nil
}

// listen answers until ctx ends or nothing is shared any more.
func (m *Mounts) listen(ctx context.Context) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(m.o.Port))))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() {
		run.Every(ctx, lookEvery, func(context.Context) error {
			if !m.look(time.Now()) {
				stop()
			}
			return nil
		})
		m.drop()
	})
	places := make(chan struct{}, maxConns)
	conf := identity.ServerTLS(m.o.Trust(), aHost, m.o.Holder())
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case places <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		all.Go(func() {
			defer func() { <-places }()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			defer conn.Close()
			if err := m.one(ctx, tls.Server(conn, conf)); err != nil && ctx.Err() == nil {
				m.o.Log.Info("a connection for a mount ended", "peer", conn.RemoteAddr().String(), logging.Err, err)
			}
		})
	}
}

// one serves one connection.
func (m *Mounts) one(ctx context.Context, conn *tls.Conn) error {
	conn.SetDeadline(time.Now().Add(greetWithin))
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	p, ok := identity.ClientOf(&state, time.Now())
	if !ok || !p.IsHost() {
		return errors.New("it came without the certificate of a host")
	}
	var hello message.Hello
	if err := message.ReadHello(conn, &hello); err != nil {
		return err
	}
	if hello.Move != "" && m.o.Moves != nil {
		if err := message.WriteHello(conn, message.Welcome{Version: message.Version}); err != nil {
			return err
		}
		return m.o.Moves().Serve(ctx, conn, hello.Of, hello.Move, p.Host)
	}
	s, err := m.enter(hello, p.Host, conn)
	if err != nil {
		return errors.Join(err, message.WriteHello(conn, message.Welcome{Version: message.Version, Refused: err.Error()}))
	}
	if err := message.WriteHello(conn, message.Welcome{Version: message.Version}); err != nil {
		return err
	}
	conn.SetDeadline(time.Time{})
	err = s.files.Serve(ctx, conn)
	m.sessions.Lock()
	defer m.sessions.Unlock()
	if s.conn == conn {
		s.conn, s.left = nil, time.Now()
	}
	return err
}

// may tells whether a host may mount what it asks for: whether this host's Work says so.
func (m *Mounts) may(h message.Hello, from wire.HostID) (readOnly bool, err error) {
	c, here := m.o.Work().Container(h.Of)
	if !here || c.Remove {
		return false, fmt.Errorf("container %s is not on this host", h.Of)
	}
	for _, s := range c.Shares {
		if s.Volume == h.Volume && s.To == h.For && s.Host == from {
			return s.ReadOnly, nil
		}
	}
	return false, fmt.Errorf("container %s of host %s may not mount volume %q of container %s", h.For, from, h.Volume, h.Of)
}

// enter finds a mount's session, or begins it. A connection before this one ends: its host has given it up.
func (m *Mounts) enter(h message.Hello, from wire.HostID, conn net.Conn) (*session, error) {
	if h.Version != message.Version {
		return nil, fmt.Errorf("version %d is not known here, %d is", h.Version, message.Version)
	}
	if len(h.Mount) != 16 {
		return nil, errors.New("the mount has no name of 16 characters")
	}
	readOnly, err := m.may(h, from)
	if err != nil {
		return nil, err
	}
	m.sessions.Lock()
	defer m.sessions.Unlock()
	key := string(from) + "/" + h.Mount
	if s := m.sessions.at[key]; s != nil && s.hello == h && s.readOnly == readOnly {
		if s.conn != nil {
			s.conn.Close()
		}
		s.conn = conn
		return s, nil
	} else if s != nil {
		return nil, errors.New("another mount has that name")
	}
	if len(m.sessions.at) >= maxSessions {
		return nil, fmt.Errorf("%d mounts have volumes of this host: those are all it serves", maxSessions)
	}
	files, err := m.files(h, readOnly)
	if err != nil {
		return nil, err
	}
	s := &session{from: from, hello: h, readOnly: readOnly, files: files, conn: conn}
	m.sessions.at[key] = s
	m.o.Log.Info("volume is mounted by another host", logging.Container, h.Of, "volume", h.Volume, logging.Host, from, "for", h.For,
		"readOnly", readOnly)
	return s, nil
}

// files opens a volume for a session.
func (m *Mounts) files(h message.Hello, readOnly bool) (*serve.Session, error) {
	root, err := m.o.Volume(h.Of, h.Volume)
	if err != nil {
		return nil, fmt.Errorf("volume %q of container %s is not there: it is made when the container starts (%v)", h.Volume, h.Of, err)
	}
	of, _ := m.o.Work().Container(h.Of)
	image := of.Image
	v, err := serve.Open(root, serve.Options{Has: image.Has, Space: func() (limit, used int64, err error) {
		q, err := btrfs.SubvolumeQuota(root)
		if err == nil {
			limit, err = q.Limit()
		}
		if err == nil && limit > 0 {
			used, err = q.Held()
		}
		return limit, used, err
	}})
	if err != nil {
		root.Close()
		return nil, err
	}
	boot := fnv.New32a()
	boot.Write([]byte(m.o.Boot))
	return serve.NewSession(v, readOnly, boot.Sum32()), nil
}

// look ends the sessions that may be no more, or that nobody has come back to; it tells whether something is shared.
func (m *Mounts) look(now time.Time) (shared bool) {
	if w := m.o.Work(); w != nil {
		shared = m.wantedBy(w)
	}
	m.sessions.Lock()
	defer m.sessions.Unlock()
	for key, s := range m.sessions.at {
		readOnly, err := m.may(s.hello, s.from)
		if err == nil && readOnly == s.readOnly && (s.conn != nil || now.Sub(s.left) < idleFor) && !s.files.Gone() {
			continue
		}
		m.end(key, s)
	}
	return shared
}

// end ends a session; the mutex is held.
func (m *Mounts) end(key string, s *session) {
	if s.conn != nil {
		s.conn.Close()
	}
	s.files.Close()
	delete(m.sessions.at, key)
}

// drop ends all sessions.
func (m *Mounts) drop() {
	m.sessions.Lock()
	defer m.sessions.Unlock()
	for key, s := range m.sessions.at {
		m.end(key, s)
	}
}
