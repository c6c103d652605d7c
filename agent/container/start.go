package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/container/account"
	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/container/rootfs"
	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// undo is what has been done so far, to be taken back in reverse order.
type undo struct{ steps []func() error }

func (u *undo) add(f func() error) { u.steps = append(u.steps, f) }
func (u *undo) close(f *os.File)   { u.add(f.Close) }
func (u *undo) release()           { u.steps = nil }
func (u *undo) run() (errs error) {
	for _, f := range slices.Backward(u.steps) {
		errs = errors.Join(errs, f())
	}
	u.steps = nil
	return errs
}

// start is one Start under way.
type start struct {
	*Runtime
	*StartSpec
	profile profile.Settings
	systemd bool // it is what the image's first program is
	roomy   bool // the layer's quota is larger than it should be, until it runs
	req     call.Start
	files   []*os.File // descriptors for the request, in its order after the first three
	mapped  []*os.File // those of them whose ids are mapped into the container's range
	undo    undo       // taken back if a later step fails
	done    undo       // closed in any case: descriptors

	cgroupDir, image, lower, layer *os.File
	held                           *call.Held  // the container's first process, until it runs
	record                         call.Record // once it runs
	starting                       time.Time
}

// startSteps is the order of a start. Each step adds what takes it back.
var startSteps = []struct {
	name string
	run  func(*start, context.Context) error
}{
	{"clear", (*start).clear},
	{"cgroup", (*start).cgroupStep},
	{"image", (*start).imageStep},
	{"layer", (*start).layerStep},
	{"volumes", (*start).volumes},
	{"mounts", (*start).mounts},
	{"files", (*start).filesStep},
	{"process", (*start).process},
	{"idmap", (*start).idmap},
	{"network", (*start).network},
	{"run", (*start).run},
}

// Start creates whatever is missing and runs the process; it returns when the program has been executed. On error everything this
// call made is undone (data that was there stays). ErrRunning if it runs already; ErrInvalid if the spec or the image can't work.
// What is returned is the container as it was started; what it uses is seen by Observe.
func (r *Runtime) Start(ctx context.Context, s StartSpec) (Observed, error) {
	if s.Profile == "" {
		s.Profile = host.ProfileApp
	}
	if err := spec.Check(s.Container, s.ids()); err != nil {
		return Observed{}, err
	}
	unlock, err := r.lock(ctx, s.CTID)
	if err != nil {
		return Observed{}, err
	}
	defer unlock()
	st := &start{Runtime: r, StartSpec: &s, starting: time.Now()}
	if len(s.Handed) != len(s.Sockets) {
		return Observed{}, fmt.Errorf("start container %s: %d of its %d sockets are open", s.CTID, len(s.Handed), len(s.Sockets))
	}
	if st.profile, err = profile.Of(s.Profile); err != nil {
		return Observed{}, err
	}
	defer func() {
		if err := st.done.run(); err != nil {
			r.log.Warn("start left a descriptor", logging.Container, s.CTID, logging.Err, err)
		}
	}()
	for _, step := range startSteps {
		err := r.fail(step.name)
		if err == nil {
			err = step.run(st, ctx)
		}
		if err != nil {
			err = record.AsCaller(s.CTID, err)
			st.done.run()
			if uerr := st.undo.run(); uerr != nil {
				err = fmt.Errorf("%w (and undoing it: %v)", err, uerr)
			}
			r.prune(context.WithoutCancel(ctx))
			return Observed{}, fmt.Errorf("start container %s: %s: %w", s.CTID, step.name, err)
		}
	}
	st.undo.release()
	r.dropOlder(s.CTID, s.Generation)
	r.log.Info("container started", logging.Container, s.CTID, logging.Env, s.Env, "generation", s.Generation,
		logging.Took, time.Since(st.starting))
	return judge(s.CTID, facts{rec: record.Read([]call.Record{st.record})[s.CTID], known: true, cgroup: true, populated: true}), nil
}

// clear makes sure that nothing of an earlier run is left, and that none runs. Without a cgroup there is nothing to clear; should the
// spawner know of one that runs all the same, it refuses the start.
func (s *start) clear(ctx context.Context) error {
	s.forgetSet(s.CTID)
	if _, err := os.Lstat(s.cgroup(s.CTID)); errors.Is(err, fs.ErrNotExist) {
		s.groups.DropSpare(s.CTID)
		return nil
	}
	all, err := s.known.List(ctx, call.List{ID: s.CTID.String()})
	if err != nil {
		return err
	}
	if all[s.CTID].PID != 0 {
		return fmt.Errorf("container %s: %w", s.CTID, ErrRunning)
	}
	return s.dropProcesses(ctx, s.CTID)
}

func (s *start) cgroupStep(ctx context.Context) (err error) {
	devs, err := s.deviceProgram()
	if err != nil {
		return err
	}
	var disks []string
	if limits.OfDisks(s.Limits) { // a new cgroup has none for any disk
		disks = s.disks()
	}
	list := limits.Settings(s.Limits, s.CPUMaxMicros, disks)
	if s.cgroupDir, err = cgroup.Make(s.cgroup(s.CTID), list, s.Profile == host.ProfileSystem, s.UIDBase, devs); err != nil {
		return err
	}
	s.done.close(s.cgroupDir)
	s.undo.add(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return s.dropProcesses(ctx, s.CTID)
	})
	return nil
}

func (s *start) imageStep(context.Context) error {
	root, release, err := s.images.Use(s.Image.Digest, s.ImagePath)
	if err != nil {
		return err
	}
	s.image = root
	s.done.add(func() error { release(); return nil })
	s.undo.add(func() error { release(); return nil })
	s.systemd = s.Profile == host.ProfileSystem && rootfs.IsSystemd(root, profile.Program(s.Container.Process))
	s.lower, err = s.tree(root, sys.ReadOnly|sys.NoDev)
	return err
}

func (s *start) layerStep(ctx context.Context) error {
	if err := s.snaps.Settle(s.CTID, s.data.Home(s.CTID)); err != nil { // a cut may have ended a restore
		return err
	}
	carry, err := s.succeed(ctx)
	if err != nil {
		return err
	}
	layer, made, err := s.data.Layer(s.CTID, s.Generation, s.Limits.DiskBytes, startRoom, carry)
	if err != nil {
		return err
	}
	s.done.close(layer)
	if made {
		s.undo.add(func() error { return s.data.DropLayer(s.CTID, s.Generation) })
	}
	s.roomy = s.Limits.DiskBytes > 0 && (!made || s.Limits.DiskBytes < startRoom)
	if s.roomy && made {
		if err := s.data.SetLayerQuota(s.CTID, s.Generation, s.Limits.DiskBytes+startRoom); err != nil {
			return err
		}
	}
	s.layer, err = s.tree(layer, sys.NoDev)
	return err
}

// tree copies the mount of a directory; its ids are mapped once the container has a user namespace.
func (s *start) tree(dir *os.File, attrs uint64) (*os.File, error) {
	tree, err := sys.CloneMount(dir, attrs)
	if err != nil {
		return nil, err
	}
	s.done.close(tree)
	s.mapped = append(s.mapped, tree)
	return tree, nil
}

// mount adds one mount to the request.
func (s *start) mount(m call.Mount, tree *os.File) {
	s.req.Mounts = append(s.req.Mounts, m)
	s.files = append(s.files, tree)
}

func (s *start) volumes(ctx context.Context) error {
	for _, v := range s.Volumes {
		content, err := rootfs.Content(s.image, v.Path)
		if err != nil {
			return err
		}
		if content != nil {
			s.done.close(content)
		}
		dir, made, err := s.data.Volume(ctx, s.CTID, volume.Wanted{Name: v.Name, Bytes: v.Bytes, NoCOW: v.NoCOW, Fill: content,
			Has: s.Image.Has, Owner: rootfs.Owner(s.image, s.Container, v.Path)})
		if err != nil {
			return err
		}
		s.done.close(dir)
		if made {
			s.undo.add(func() error { return s.data.DropVolume(s.CTID, v.Name) })
		}
		tree, err := s.tree(dir, sys.NoDev|sys.NoSuid)
		if err != nil {
			return err
		}
		s.mount(call.Mount{Path: v.Path, Early: true}, tree)
	}
	return nil
}

// mounts mounts volumes of others. Where they are is asked when somebody reads: a host that is away keeps no container from its start.
func (s *start) mounts(ctx context.Context) error {
	for _, m := range s.Mounts {
		if s.opts.Mounts == nil {
			return fmt.Errorf("mount %q: this host mounts no volumes of others", m.Name)
		}
		tree, undo, err := s.opts.Mounts.Open(ctx, s.CTID, m)
		if err != nil {
			return err
		}
		s.undo.add(undo)
		s.done.close(tree)
		s.mapped = append(s.mapped, tree)
		s.mount(call.Mount{Path: m.Path, Early: true}, tree)
	}
	return nil
}

// process has the container's first process made. It waits until run.
func (s *start) process(ctx context.Context) (err error) {
	q := &s.req
	if q.View, err = s.view(); err != nil {
		return err
	}
	if q.Note, err = record.Make(s.Container, s.UIDBase); err != nil {
		return err
	}
	q.Generation = s.Generation
	q.ID, q.Scratch, q.IDs, q.LogDir, q.Hostname = s.CTID.String(), s.scratch(), s.ids(), s.LogDir(s.CTID), s.Hostname
	q.System, q.Sysctls, q.Reaper, q.Shared = s.Profile == host.ProfileSystem, s.profile.Sysctls, s.Process.Reaper, sharedBytes(s.Limits)
	p := s.Process
	if _, set := p.Env["HOME"]; !set && s.Profile == host.ProfileApp {
		p.Env = maps.Clone(p.Env)
		if p.Env == nil {
			p.Env = map[string]string{}
		}
		p.Env["HOME"] = "/"
		if who, err := account.Find(account.File(s.image, "/etc/passwd"), "", strconv.FormatUint(uint64(p.UID), 10)); err == nil {
			p.Env["HOME"] = who.Home
		}
	}
	p.Env = withSockets(p.Env, s.Sockets, p.Reaper)
	if q.System {
		p.Env = rootfs.Told(p.Env, rootfs.MachineID(s.CTID, s.IPv4), s.systemd)
	}
	q.Handed = len(s.Handed)
	q.Process = s.profile.Process(p, s.Hostname)
	q.Dirs = rootfs.RunDirs(s.image, s.Image.Has)
	if s.systemd {
		q.Dirs, q.RunTexts = append(q.Dirs, rootfs.SystemdDirs...), rootfs.SystemdTexts
	}
	q.Texts = []call.Text{{Name: "hostname", Data: []byte(s.Hostname + "\n")}}
	if s.Resolv != nil {
		q.Texts = append(q.Texts, call.Text{Name: "resolv.conf", Data: s.Resolv})
	}
	if s.Hosts != nil {
		q.Texts = append(q.Texts, call.Text{Name: "hosts", Data: s.Hosts})
	}
	files := slices.Concat([]*os.File{s.cgroupDir, s.lower, s.layer}, s.files, s.Handed)
	if s.held, err = s.spawn.Start(ctx, *q, files...); err != nil {
		return err
	}
	s.done.close(s.held.User)
	s.done.close(s.held.Net)
	s.undo.add(func() error { s.held.Close(); return nil })
	return nil
}

// view is where the container finds what it sees of itself in /proc; nowhere on a host whose init mounts no view.
func (s *start) view() (string, error) {
	there, err := sys.IsMountpoint(s.opts.View)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !there {
		s.unseen.Do(func() {
			s.log.Warn("containers see the host's memory, processors and load in /proc; their own limits count all the same",
				logging.Reason, "nothing is mounted at "+s.opts.View)
		})
		return "", nil
	}
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.opts.View, s.CTID.String())
	dir, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	_, err = dir.ReadDir(1) // from here on the kernel knows all names there: it need not ask for each when they are mounted
	return path, err
}

// withSockets adds to a program's environment what says which sockets it was handed (sd_listen_fds(3)). Behind a reaper it is the second
// process of its namespace.
func withSockets(env map[string]string, sockets []host.Socket, reaper bool) map[string]string {
	if len(sockets) == 0 {
		return env
	}
	names := make([]string, len(sockets))
	for i, s := range sockets {
		names[i] = s.Name
	}
	if env = maps.Clone(env); env == nil {
		env = map[string]string{}
	}
	env["LISTEN_FDS"], env["LISTEN_FDNAMES"], env["LISTEN_PID"] = strconv.Itoa(len(sockets)), strings.Join(names, ":"), "1"
	if reaper {
		env["LISTEN_PID"] = "2"
	}
	return env
}

// idmap maps the ids of the mounts the process will attach, while it waits.
func (s *start) idmap(context.Context) error {
	for _, tree := range s.mapped {
		if err := sys.MapIDs(tree, s.held.User); err != nil {
			return err
		}
	}
	return nil
}

func (s *start) network(ctx context.Context) error {
	if s.Network == nil {
		return nil
	}
	back, err := s.Network(ctx, s.held.Net)
	if err != nil {
		return err
	}
	if back != nil {
		s.undo.add(func() error { back(); return nil })
	}
	return nil
}

func (s *start) run(ctx context.Context) (err error) {
	if s.record, err = s.held.Go(ctx); err != nil || !s.roomy {
		return err
	}
	if err := s.data.SetLayerQuota(s.CTID, s.Generation, s.Limits.DiskBytes); err != nil { // the next look at its limits sets it
		s.log.Warn("container has a larger disk quota than it should", logging.Container, s.CTID, logging.Err, err)
	}
	return nil
}

// startRoom is what a layer's quota is larger by while its container starts, in bytes: a full one takes no mount points and no overlay
// then (it would be read-only). A new one is not full, unless its quota is smaller than this.
const startRoom = 4 << 20

// dropOlder deletes layers of other generations; if that fails the container runs all the same, and Observe shows what is left.
func (r *Runtime) dropOlder(id wire.CTID, keep int64) {
	c, err := r.data.Contents(id)
	if err != nil {
		r.log.Warn("older layers stay", logging.Container, id, logging.Err, err)
		return
	}
	for _, g := range c.Layers {
		if g == keep {
			continue
		}
		if err := r.data.DropLayer(id, g); err != nil {
			r.log.Warn("older layer stays", logging.Container, id, "generation", g, logging.Err, err)
		}
	}
}

// prune unmounts images nothing runs from.
func (r *Runtime) prune(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := r.known.All(ctx)
	if err != nil {
		return // the next prune does it
	}
	used := map[wire.Digest]bool{}
	for _, rec := range all {
		if rec.PID != 0 {
			used[rec.Container.Image.Digest] = true
		}
	}
	if err := r.images.Prune(used); err != nil {
		r.log.Warn("image stays mounted", logging.Err, err)
	}
}
