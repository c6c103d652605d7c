//go:build guest

package container

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/mount"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiremount "hardnode.dev/internal/wire/mount"
)

// keeping is what init keeps.
type keeping struct {
	sync.Mutex
	t   *testing.T
	fds map[string]*os.File
}

func (k *keeping) Keep(name string, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		d, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.t.Error(err)
			return
		}
		k.Lock()
		defer k.Unlock()
		k.fds[name] = os.NewFile(uintptr(d), name)
	})
}

func (k *keeping) Drop(name string) error {
	k.Lock()
	defer k.Unlock()
	if f := k.fds[name]; f != nil {
		f.Close()
	}
	delete(k.fds, name)
	return nil
}

func (k *keeping) count() int {
	k.Lock()
	defer k.Unlock()
	return len(k.fds)
}

// again is what the next agent gets.
func (k *keeping) again() map[string]*os.File {
	k.Lock()
	defer k.Unlock()
	out := map[string]*os.File{}
	for n, f := range k.fds {
		d, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.t.Error(err)
		}
		unix.SetNonblock(d, true)
		out[n] = os.NewFile(uintptr(d), n)
	}
	return out
}

// side is one host of the two.
type side struct {
	t      *testing.T
	o      mount.Options
	mounts *mount.Mounts
	stop   func()

	mu   sync.Mutex
	work map[wire.CTID]host.Container
}

func (s *side) set(c host.Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work = map[wire.CTID]host.Container{c.CTID: c}
}

// start is a new agent.
func (s *side) start(kept map[string]*os.File) {
	s.o.Kept = kept
	s.o.Work = func() *host.Work {
		s.mu.Lock()
		defer s.mu.Unlock()
		w := &host.Work{}
		for _, c := range s.work {
			w.Containers = append(w.Containers, c)
		}
		return w
	}
	s.mounts = mount.New(s.o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.mounts.Run(ctx); close(done) }()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// ends has a Runtime use the mounts of whichever agent there is.
type ends struct{ now **mount.Mounts }

func (e ends) Open(ctx context.Context, id wire.CTID, m wiremount.Mount) (*os.File, func() error, error) {
	return (*e.now).Open(ctx, id, m)
}
func (e ends) End(id wire.CTID) { (*e.now).End(id) }

// eventually waits until something is so.
func eventually(t *testing.T, not string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(not)
		}
	}
}

// TestMount: a container has a volume of a container on another host, which is this one under another name.
func TestMount(t *testing.T) {
	spawnerUp(t)
	const from, to = wire.CTID(341), wire.CTID(342)
	const h1, h2 = wire.HostID("h-000000000001"), wire.HostID("h-000000000002")
	cluster, err := founded.New(2, "127.0.0.1:1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	kept := &keeping{t: t, fds: map[string]*os.File{}}
	r1 := newRuntime(t)
	two := map[wire.HostID]*side{}
	for _, id := range []wire.HostID{h1, h2} {
		key, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		csr, _ := identity.CSR(key)
		chain, err := cluster.Authority.Sign(csr, identity.Peer{Cluster: cluster.Seed.Cluster, Host: id, Name: string(id),
			Role: host.RoleUser}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cred, err := identity.NewCredential(key, chain)
		if err != nil {
			t.Fatal(err)
		}
		holder := &identity.Holder{}
		holder.Set(cred)
		two[id] = &side{t: t, o: mount.Options{Self: func() wire.HostID { return id }, Holder: func() *identity.Holder { return holder },
			Trust: func() identity.Trust { return identity.Trust{Pin: cluster.Pin, Cluster: cluster.Seed.Cluster} },
			Peers: func() *host.Peers {
				return &host.Peers{Hosts: []host.Peer{{ID: h1, Underlay: netip.MustParseAddr("127.0.0.1")}}}
			},
			Volume: r1.Volume, Boot: "boot", Keeper: kept, Port: host.MountPort}}
	}
	one, other := two[h1], two[h2]

	has := box(t, from, forever)
	has.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 16 << 20}}
	has.Shares = []wiremount.Share{{Volume: "data", To: to, Host: h2}}
	mustStart(t, r1, has)
	one.set(has.Container)
	one.start(nil)
	defer func() { one.stop() }()

	mounts := box(t, to, forever)
	mounts.Mounts = []wiremount.Mount{{Name: "shared", Path: "/srv/shared", From: from, Host: h1, Volume: "data"}}
	other.set(mounts.Container)
	other.start(nil)
	defer func() { other.stop() }()
	r2, err := New(Options{Log: r1.log, Mounts: ends{&other.mounts}})
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, r2, mounts)

	for _, c := range []struct {
		on           wire.CTID
		script, want string
	}{
		{from, "umask 0; echo hello > /var/data/a; chown 7:8 /var/data/a; chmod 777 /var/data; echo done", "done"},
		{to, "cat /srv/shared/a; stat -c %u:%g /srv/shared/a", "hello\n7:8"},
		{to, "cd /srv/shared; echo mine > b; mkdir d; chown 33:44 b; mv b d/c; ln -s c d/l; cat d/l; touch /srv/x && echo beside",
			"mine\nbeside"},
		{from, "cd /var/data; stat -c %u:%g d d/c; cat d/c", "0:0\n33:44\nmine"},
		{to, "mknod /srv/shared/null c 1 3 2>/dev/null; echo $?", "1"},
		{to, "cd /srv/shared; exec 3> u; rm u; echo x >&3 && echo written; ls", "written\na\nd"},
		{to, "dd if=/dev/zero of=/srv/shared/big bs=1M count=8 conv=fsync 2>/dev/null && stat -c %s /srv/shared/big", "8388608"},
		{to, "dd if=/dev/zero of=/srv/shared/big bs=1M count=32 2>&1 | grep -c 'uota exceeded'", "1"},
		{from, "rm /var/data/big; test $(stat -c %s /var/data/a) = 6 && echo there", "there"},
		{to, "grep /srv/shared /proc/mounts | cut -d ' ' -f 1-3; grep /srv/shared /proc/mounts | grep -c nosuid,nodev",
			"341:data /srv/shared fuse\n1"},
	} {
		r := map[wire.CTID]*Runtime{from: r1, to: r2}[c.on]
		if got, _ := sh(t, r, c.on, c.script); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.script, c.on, got, c.want)
		}
	}

	// another agent on the mounting host
	other.stop()
	other.start(kept.again())
	if got, _ := sh(t, r2, to, "echo more >> /srv/shared/a; cat /srv/shared/a"); got != "hello\nmore" {
		t.Errorf("after another agent: %q", got)
	}

	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Log("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/container` takes the other host away, which needs its time")
		return
	}

	// read-only from now on
	change := has.Container
	change.Shares = []wiremount.Share{{Volume: "data", To: to, Host: h2, ReadOnly: true}}
	one.set(change)
	eventually(t, "a mount that may only be read is written to", func() bool {
		got, _ := sh(t, r2, to, "echo y >> /srv/shared/a; cat /srv/shared/a > /dev/null && echo read")
		return strings.Contains(got, "ead-only") && strings.Contains(got, "read")
	})
	one.set(has.Container)

	// the other host is away, and comes back
	eventually(t, "it can be written to no more", func() bool {
		got, _ := sh(t, r2, to, "echo again > /srv/shared/e && echo written")
		return got == "written"
	})
	one.stop()
	began := time.Now()
	got, _ := sh(t, r2, to, "cat /srv/shared/a || cat /srv/shared/d/c; ls /srv/shared > /dev/null || echo refused")
	if !strings.Contains(got, "refused") {
		t.Errorf("without its host: %q", got)
	}
	t.Logf("without its host: errors after %s", time.Since(began))
	if took := time.Since(began); took > 60*time.Second {
		t.Errorf("without its host an error takes %s", took)
	}
	if got := len(other.mounts.Problems()); got != 1 {
		t.Errorf("%d problems are told of", got)
	}
	one.start(nil)
	eventually(t, "it does not come back", func() bool {
		got, _ := sh(t, r2, to, "cat /srv/shared/a > /dev/null && echo read")
		return got == "read"
	})

	// stopped while it waits for a host that is away
	one.stop()
	for range 4 {
		reads := []string{"sh", "-c", "while :; do cat /srv/shared/a; ls /srv/shared; done"}
		go r2.Exec(deadline(t), to, host.ExecSpec{Argv: reads}, command.Stdio{})
	}
	began = time.Now()
	if err := r2.Stop(deadline(t), to); err != nil {
		t.Error(err)
	}
	t.Logf("stopped within %s", time.Since(began))
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %s", took)
	}
	eventually(t, "what was mounted is still kept", func() bool { return kept.count() == 0 })
}
