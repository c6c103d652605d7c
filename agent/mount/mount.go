// Package mount mounts volumes of other hosts into this host's containers, and lets other hosts mount this one's.
//
// Owns: the descriptors of /dev/fuse of what is mounted, the connections to where it comes from; TCP host.MountPort, mutual TLS 1.3, as
// long as a volume of this host is shared.
// In: what Work says of mounts and shares; other hosts, by their certificates.
// Out: mounts that are attached nowhere, for a container that starts; answers to other hosts.
// Never: mounts or serves what Work does not name, looks into a mount of its own (it would wait for itself), or keeps something on disk:
// init keeps the descriptors, so that the next agent goes on where this one ended.
package mount

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
	"hardnode.dev/agent/mount/pump"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
)

// Keeper keeps descriptors over a restart of this program. It must not call f.Fd, which would make the descriptor blocking.
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
}

// Options are what Mounts need. All are required unless said otherwise.
type Options struct {
	Work   func() *host.Work  // nil: none has been seen
	Peers  func() *host.Peers // where the others are; nil: not known yet
	Self   func() wire.HostID // "" until the host has joined
	Trust  func() identity.Trust
	Holder func() *identity.Holder
	Volume func(id wire.CTID, name string) (*os.File, error) // the volume's top directory
	Boot   string                                            // names this run of the machine
	Keeper Keeper
	Kept   map[string]*os.File // what the last agent left
	Port   uint16              // host.MountPort
	Moves  func() Moves        // what else comes through the same door; nil: nothing
	Log    *slog.Logger        // nil discards
}

// Moves answers hosts that containers of this one go to (agent/move).
type Moves interface {
	Gives(w *host.Work) bool // one may come
	// Serve answers, until the connection or ctx ends.
	Serve(ctx context.Context, conn net.Conn, of wire.CTID, move string, to wire.HostID) error
}

// Mounts are all of a host. Make them with New.
type Mounts struct {
	o     Options
	fresh chan *mounted

	mu struct {
		sync.Mutex
		at map[*mounted]bool
	}
	sessions sessions
}

// mounted is one mount of a container.
type mounted struct {
	id    wire.CTID
	name  string
	nonce string
	dev   *os.File
	pump  *pump.Pump
	again bool // it was made by an agent before this one
}

// prefix of the descriptors' names with the Keeper.
const prefix = "mount-"

func (m *mounted) kept() string { return prefix + m.id.String() + "-" + m.name + "-" + m.nonce }

// New takes over what the last agent had mounted.
func New(o Options) *Mounts {
	o.Log = logging.Or(o.Log)
	m := &Mounts{o: o, fresh: make(chan *mounted, 1024)}
	m.mu.at, m.sessions.at = map[*mounted]bool{}, map[string]*session{}
	for name, f := range o.Kept {
		rest, ours := strings.CutPrefix(name, prefix)
		number, rest, _ := strings.Cut(rest, "-")
		at := strings.LastIndexByte(rest, '-')
		if !ours {
			continue
		}
		id, err := wire.ParseCTID(number)
		if err != nil || at < 1 {
			o.Log.Warn("a descriptor of a mount has a name that says not whose it is", "name", name)
			f.Close()
			continue
		}
		m.add(&mounted{id: id, name: rest[:at], nonce: rest[at+1:], dev: f, again: true})
	}
	return m
}

func (m *Mounts) add(n *mounted) {
	n.pump = pump.New(n.dev, func(ctx context.Context) (net.Conn, error) { return m.dial(ctx, n) }, pump.Usual,
		m.o.Log.With(logging.Container, n.id, "mount", n.name))
	m.mu.Lock()
	m.mu.at[n] = true
	m.mu.Unlock()
	m.fresh <- n
}

// agreeWithin is how long the kernel may take for its first request, which it makes when a file system is mounted.
const agreeWithin = 10 * time.Second

// Open mounts a volume of another container, attached nowhere, with ids that can be mapped. The other host need not be there. undo takes it
// back; else it lasts as long as something has it mounted.
func (m *Mounts) Open(ctx context.Context, id wire.CTID, want mount.Mount) (tree *os.File, undo func() error, err error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("mount %q: open /dev/fuse: %w", want.Name, err)
	}
	attrs := sys.NoSuid | sys.NoDev
	if want.ReadOnly {
		attrs |= sys.ReadOnly
	}
	source := fmt.Sprintf("%s:%s", want.From, want.Volume)
	tree, err = sys.NewMount("fuse", attrs, [2]string{"source", source}, [2]string{"fd", strconv.Itoa(fd)},
		[2]string{"rootmode", "40000"}, [2]string{"user_id", "0"}, [2]string{"group_id", "0"}, [2]string{"default_permissions", ""},
		[2]string{"allow_other", ""})
	if err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("mount %q: %w", want.Name, err)
	}
	dev := os.NewFile(uintptr(fd), "/dev/fuse") // not before: a descriptor of no mount is polled for nothing, for good (fuse_dev_poll)
	n := &mounted{id: id, name: want.Name, nonce: hex.EncodeToString(random()), dev: dev}
	if err := m.o.Keeper.Keep(n.kept(), dev); err != nil {
		m.o.Log.Warn("keep mount", logging.Container, id, logging.Err, err, logging.Reason, "it ends with this agent")
	}
	m.add(n)
	undo = func() error { n.pump.End(); return nil } // the caller closes the tree
	select {
	case <-n.pump.Ready():
		return tree, undo, nil
	case <-time.After(agreeWithin):
		err = errors.New("the kernel does not say which protocol it speaks")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, nil, errors.Join(fmt.Errorf("mount %q: %w", want.Name, err), tree.Close(), undo())
}

func random() []byte {
	b := make([]byte, 8)
	rand.Read(b)
	return b
}

// End has all that a container still asks of its mounts end with an error at once: nothing of it waits for another host any more.
func (m *Mounts) End(id wire.CTID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.mu.at {
		if n.id == id {
			n.pump.End()
		}
	}
}

// Run carries requests and answers other hosts until ctx ends; what is mounted stays for the next agent.
func (m *Mounts) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { m.serve(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-m.fresh:
			all.Go(func() { m.carry(ctx, n) })
		}
	}
}

// carry runs a mount's pump until nothing has it mounted any more.
func (m *Mounts) carry(ctx context.Context, n *mounted) {
	if n.again {
		if err := n.pump.Resume(); err != nil {
			m.o.Log.Warn("take a mount over", logging.Container, n.id, "mount", n.name, logging.Err, err)
		}
	}
	err := n.pump.Run(ctx)
	m.mu.Lock()
	delete(m.mu.at, n)
	m.mu.Unlock()
	if ctx.Err() == nil {
		if err != nil {
			m.o.Log.Warn("mount ends", logging.Container, n.id, "mount", n.name, logging.Err, err)
		}
		if err := m.o.Keeper.Drop(n.kept()); err != nil {
			m.o.Log.Warn("drop mount", logging.Container, n.id, "mount", n.name, logging.Err, err)
		}
	}
	n.dev.Close()
}

// Problems are the mounts whose volume can't be reached.
func (m *Mounts) Problems() (list []host.Problem) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.mu.at {
		if why := n.pump.Trouble(); why != "" {
			list = append(list, host.Problem{Code: "unavailable", Object: mount.Object(n.id, n.name),
				Reason: why, Next: "see that the node that has the volume, and its host, are there: hnctl node list", CTID: n.id})
		}
	}
	return list
}

// wanted is what Work says of a mount now.
func (m *Mounts) wanted(id wire.CTID, name string) (mount.Mount, error) {
	c, _ := m.o.Work().Container(id)
	for _, w := range c.Mounts {
		if w.Name == name {
			return w, nil
		}
	}
	return mount.Mount{}, fmt.Errorf("container %s has no mount %q any more", id, name)
}

// address is where a host answers.
func (m *Mounts) address(id wire.HostID) (netip.AddrPort, error) {
	if id == m.o.Self() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), m.o.Port), nil
	}
	if p := m.o.Peers(); p != nil {
		for _, h := range p.Hosts {
			if h.ID == id && h.Underlay.IsValid() {
				return netip.AddrPortFrom(h.Underlay, m.o.Port), nil
			}
		}
	}
	return netip.AddrPort{}, fmt.Errorf("the address of host %s is not known", id)
}

// dialWithin is how long another host may take until a mount is agreed on.
const dialWithin = 5 * time.Second

// dial connects to the host that has a mount's volume.
func (m *Mounts) dial(ctx context.Context, n *mounted) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	w, err := m.wanted(n.id, n.name)
	if err != nil {
		return nil, err
	}
	return m.greet(ctx, w.Host, message.Hello{Of: w.From, Volume: w.Volume, For: n.id, Name: n.name, Mount: n.nonce})
}

// DialMove connects to the host that a container comes from.
func (m *Mounts) DialMove(ctx context.Context, from wire.HostID, of wire.CTID, move string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	return m.greet(ctx, from, message.Hello{Of: of, Move: move})
}

// greet connects to a host and agrees with it on what for.
func (m *Mounts) greet(ctx context.Context, to wire.HostID, hello message.Hello) (net.Conn, error) {
	at, err := m.address(to)
	if err != nil {
		return nil, err
	}
	want := func(p identity.Peer) error {
		if !p.IsHost() || p.Host != to {
			return fmt.Errorf("want host %s, the other side is %s", to, p)
		}
		return nil
	}
	conn, err := (&tls.Dialer{Config: identity.ClientTLS(m.o.Trust(), want, m.o.Holder())}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(dialWithin))
	hello.Version = message.Version
	var welcome message.Welcome
	if err = message.WriteHello(conn, hello); err == nil {
		err = message.ReadHello(conn, &welcome)
	}
	switch {
	case err != nil:
	case welcome.Refused != "":
		err = fmt.Errorf("host %s refuses: %.300q", to, welcome.Refused)
	case welcome.Version != message.Version:
		err = fmt.Errorf("host %s speaks version %d, this one %d", to, welcome.Version, message.Version)
	default:
		return conn, conn.SetDeadline(time.Time{})
	}
	conn.Close()
	return nil, err
}

// wantedBy tells whether another host may come for something.
func (m *Mounts) wantedBy(w *host.Work) bool {
	return m.o.Moves != nil && m.o.Moves().Gives(w) ||
		slices.ContainsFunc(w.Containers, func(c host.Container) bool { return len(c.Shares) > 0 })
}

// sharing waits for Work in which a volume is shared; false: ctx ended.
func (m *Mounts) sharing(ctx context.Context) bool {
	for ctx.Err() == nil {
		if w := m.o.Work(); w != nil && m.o.Trust().Pin != "" && m.o.Holder().Get() != nil {
			if m.wantedBy(w) {
				return true
			}
		}
		run.Wait(ctx, time.Second)
	}
	return false
}
