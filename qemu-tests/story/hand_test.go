//go:build qemu

package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/internal/wire/volume"
	"hardnode.dev/qemu-tests/terminal"
)

// hands is what the commands on nodes are tried on: one program with a volume, and a node with a console.
type hands struct {
	story
	page, whole string // their numbers
	at          string // the host of page
}

// byHand: all that hnctl does with one node, as a person at a keyboard does it, against real hosts.
func byHand(s story) {
	s.hnctl("template", "push", s.small("whole", func(c *v1.ConfigFile) {
		// What a system's emergency shell is: it has the console, and heeds no signal.
		c.Config.Entrypoint = []string{"/bin/sh", "-c", "exec /bin/sh -i </dev/console >/dev/console 2>&1"}
		c.Config.Labels = map[string]string{host.LabelProfile: string(host.ProfileSystem), host.LabelStopAfter: "1"}
	}))
	s.listed("whole")
	s.hnctl("env", "create", "-f", s.file("by-hand", 1, "dynamic: 2}", "dynamic: 2}\n    volumes: [{path: /srv/data, diskMiB: 64}]\n"+
		"  - {name: vps, template: whole, nodes: 1, cloudlets: {reserved: 1, dynamic: 2}}"))
	defer s.delete("by-hand")
	h := hands{story: s}
	for _, n := range s.settled("by-hand").Nodes {
		if n.Layer == "vps" {
			h.whole = n.CTID.String()
		} else {
			h.page, h.at = n.CTID.String(), n.HostName
		}
	}
	for _, step := range []struct {
		name string
		try  func(hands)
	}{
		{"cp", hands.copied},
		{"jem", hands.lifeCycle},
		{"top and usage", hands.measured},
		{"attach", hands.attached},
		{"port-forward", hands.forwarded},
		{"port and address", hands.published},
		{"resize", hands.resized},
		{"snapshot", hands.putBack},
		{"mount, restart and volume", hands.mounted},
		{"console and exec on a terminal", hands.atConsole},
	} {
		s.Run(step.name, func(t *testing.T) {
			began := time.Now()
			step.try(hands{story{t, s.Cluster}, h.page, h.whole, h.at})
			s.figure("by hand: %s took %.1f s", step.name, time.Since(began).Seconds())
		})
	}
}

// document runs hnctl and decodes what it prints.
func (s story) document(v any, args ...string) {
	s.Helper()
	if out := s.hnctl(append([]string{"-o", "json"}, args...)...); json.Unmarshal([]byte(out), v) != nil {
		s.Fatalf("hnctl %s prints no such document: %.500q", strings.Join(args, " "), out)
	}
}

// refused runs what can't be done: the error has all the words.
func (s story) refused(want []string, args ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience())
	defer cancel()
	out, err := s.HNCTL(ctx, args...)
	if err == nil {
		s.Errorf("hnctl %s is done: %s", strings.Join(args, " "), out)
		return
	}
	_, said, _ := strings.Cut(err.Error(), "exit status ") // before it are the arguments themselves
	for _, w := range want {
		if !strings.Contains(said, w) {
			s.Errorf("hnctl %s doesn't say %q: %v", strings.Join(args, " "), w, err)
		}
	}
}

// inside runs a shell's line in a node.
func (s story) inside(node, line string) string {
	s.Helper()
	return strings.TrimSpace(s.hnctl("node", "exec", node, "--", "sh", "-c", line))
}

// copied: a file goes in and comes out with its content and its mode; one that isn't there is named, and so is a node.
func (h hands) copied() {
	dir := h.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	content := bytes.Repeat([]byte("0123456789abcde\n"), 20_000)
	if err := os.WriteFile(in, content, 0o600); err != nil {
		h.Fatal(err)
	}
	if err := os.Chmod(in, 0o741); err != nil {
		h.Fatal(err)
	}
	h.hnctl("node", "cp", in, h.page+":/srv/data/copy")
	if got := h.inside(h.page, "stat -c '%a %s' /srv/data/copy"); got != fmt.Sprintf("741 %d", len(content)) {
		h.Errorf("in the node mode and size are %s", got)
	}
	h.hnctl("node", "cp", h.page+":/srv/data/copy", out)
	got, err := os.ReadFile(out)
	st, serr := os.Stat(out)
	if err != nil || serr != nil || !bytes.Equal(got, content) || st.Mode() != 0o741 {
		h.Errorf("%d bytes came back, %v %v, of %d with mode 741: %+v", len(got), err, serr, len(content), st)
	}
	h.refused([]string{h.page, "/srv/data/none", "no such file"}, "node", "cp", h.page+":/srv/data/none", out)
	h.refused([]string{"none-here"}, "node", "cp", filepath.Join(dir, "none-here"), h.page+":/srv/data")
	h.refused([]string{"9999", "next:"}, "node", "cp", in, "9999:/srv")
}

// lifeCycle: JEM answers in documents and in words.
func (h hands) lifeCycle() {
	call := func(args ...string) (r jem.Reply) {
		h.Helper()
		h.document(&r, append([]string{"jem", h.page}, args...)...)
		if r.Code != jem.CodeOK || r.Module != args[0] || r.Action != args[1] {
			h.Errorf("jem %q answers %+v", args, r)
		}
		return r
	}
	first := func(s jem.Service) bool { return s.Name == "nginx" && s.PID == 1 }
	if r := call("service", "status"); !slices.ContainsFunc(r.Services, first) {
		h.Errorf("its services are %+v", r.Services)
	}
	if r := call("config", "read", "/etc/nginx/nginx.conf"); !strings.Contains(r.Text, "worker_processes 1;") {
		h.Errorf("its configuration is %q", r.Text)
	}
	call("logs", "list")
	if out := h.hnctl("jem", h.page, "health", "check"); strings.Contains(out, "{") {
		h.Errorf("to a person it says %q", out)
	}
	h.refused([]string{"nothing named", "nowhere", h.page, "jem service status lists"}, "jem", h.page, "service", "status", "nowhere")
	h.refused([]string{"colour", "list"}, "jem", h.page, "colour", "change")
}

// measured: what a node uses is shown, and what it used is kept.
func (h hands) measured() {
	var list []struct {
		Memory    int64 `json:"memory"`
		MemoryMax int64 `json:"memoryMax"`
		Processes []struct {
			Name string `json:"name"`
		} `json:"processes"`
	}
	h.document(&list, "node", "top", h.page, "--once")
	if len(list) != 1 || list[0].Memory == 0 || list[0].MemoryMax != 256<<20 || len(list[0].Processes) < 2 ||
		list[0].Processes[0].Name != "nginx" {
		h.Errorf("it uses %+v", list)
	}
	if out := h.hnctl("node", "top", h.page, h.whole); !strings.Contains(out, "MEMORY") || strings.Count(out, "MiB") < 2 {
		h.Errorf("both use %q", out)
	}
	var kept []usage.Record
	h.until("what it used is kept", func() bool {
		h.document(&kept, "node", "usage", h.page, "--step", "sample")
		return len(kept) > 0
	})
	if r := kept[len(kept)-1]; r.CTID.String() != h.page || r.Seconds <= 0 || r.MemoryPeak == 0 {
		h.Errorf("it used %+v", r)
	}
	h.refused([]string{"--step", "year", "hour"}, "node", "usage", h.page, "--step", "year")
}

// shown is what a running program has written.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *shown) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *shown) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// begin starts what a person leaves with Ctrl-C, which is no error.
func (s story) begin(args ...string) (out *shown, leave func()) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 3*patience())
	s.Cleanup(cancel)
	cmd := s.Command(ctx, args...)
	out = &shown{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 5*time.Second
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	return out, func() {
		s.Helper()
		cmd.Process.Signal(os.Interrupt) // that it has ended already is seen in what Wait says
		if err := cmd.Wait(); err != nil {
			s.Errorf("hnctl %s ends with %v after Ctrl-C: %s", strings.Join(args, " "), err, out)
		}
	}
}

// attached: what a node's program writes is seen as it writes it.
func (h hands) attached() {
	out, leave := h.begin("node", "attach", h.page)
	h.until("what its program writes is seen", func() bool {
		h.inside(h.page, "wget -q -O /dev/null http://127.0.0.1/ -U by-hand")
		return strings.Contains(out.String(), "by-hand")
	})
	leave()
}

// forwarded: a port here leads to one of the node.
func (h hands) forwarded() {
	out, leave := h.begin("node", "port-forward", h.page, ":80")
	at := regexp.MustCompile(`(?m)^(127\.0\.0\.1:\d+) goes to port 80 of node ` + h.page + `$`)
	h.until("it says where it listens", func() bool { return at.MatchString(out.String()) })
	c := http.Client{Timeout: patience()}
	res, err := c.Get("http://" + at.FindStringSubmatch(out.String())[1] + "/")
	if err != nil {
		h.Fatal(err)
	}
	var page bytes.Buffer
	_, err = page.ReadFrom(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != 200 || !strings.Contains(page.String(), "<html") || res.Header.Get("X-Hardnode-Node") == "" {
		h.Errorf("through it comes %d %v %.200q, %v", res.StatusCode, res.Header, page.String(), err)
	}
	leave()
}

// published: a node is reached at its host's address, and at one of its own, by a machine that is no host.
func (h hands) published() {
	get := h.outside("10.77.0.201/24")
	reached := func(where, at string) {
		h.Helper()
		h.until(where+" leads to the node", func() bool { return strings.Contains(get("http://"+at+"/"), "<html") })
	}
	h.hnctl("node", "port", "add", h.page, "tcp/20080:80")
	reached("the host's port", h.Machine(h.at).Addr.String()+":20080")
	if out := h.hnctl("node", "port", "list", h.page); !strings.Contains(out, "tcp/20080") || !strings.Contains(out, h.at) {
		h.Errorf("its ports are %q", out)
	}
	h.refused([]string{h.page, "tcp/20081", "port list"}, "node", "port", "delete", h.page, "tcp/20081")
	h.hnctl("node", "port", "delete", h.page, "tcp/20080")

	const own = "10.77.0.150" // nobody else's on the machines' network
	h.hnctl("node", "address", "add", h.page, own)
	reached("its own address", own)
	if out := h.hnctl("node", "address", "list", h.page); !strings.Contains(out, own) || strings.Contains(out, "not in force") {
		h.Errorf("its addresses are %q", out)
	}
	h.refused([]string{"10.77.0.300", "203.0.113.10"}, "node", "address", "add", h.page, "10.77.0.300")
	h.hnctl("node", "address", "delete", h.page, own)
	for _, what := range []string{"port", "address"} {
		if out := h.hnctl("node", what, "list", h.page, "-o", "name"); strings.TrimSpace(out) != "" {
			h.Errorf("of what was deleted, %s list shows %q", what, out)
		}
	}
}

// outside is a machine with an address on the hosts' network: a network namespace with a card on the switch. It gets pages.
func (s story) outside(addr string) (get func(url string) string) {
	s.Helper()
	bin := filepath.Join(s.TempDir(), "site")
	build := exec.CommandContext(s.Context(), "go", "build", "-o", bin, "./qemu-tests/pxe/site")
	build.Dir = s.Root
	if out, err := build.CombinedOutput(); err != nil {
		s.Fatalf("build the card: %v: %s", err, out)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "cable"), os.NewFile(uintptr(fds[1]), "cable")
	defer ours.Close()
	defer theirs.Close()
	cable, err := net.FileConn(ours)
	if err != nil {
		s.Fatal(err)
	}
	out, card := &shown{}, exec.Command(bin, "-address", addr)
	card.Stdout, card.Stderr, card.ExtraFiles = out, out, []*os.File{theirs}
	card.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := card.Start(); err != nil {
		cable.Close()
		s.Fatalf("start the card (a network namespace needs root): %v", err)
	}
	s.Cleanup(func() { card.Process.Kill(); card.Wait() })
	port := s.Switch.Connect(addr, cable)
	s.Cleanup(port.Close)
	s.until("the card is plugged in", func() bool { return strings.Contains(out.String(), "site: open") })
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", card.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { there.Close() })
	here, err := os.Open("/proc/self/ns/net")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { here.Close() })
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			runtime.LockOSThread()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				runtime.UnlockOSThread() // it is where it was
				return nil, err
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
				panic("BUG: a thread of the test can't come back: " + err.Error()) // others would go on with it elsewhere
			}
			runtime.UnlockOSThread()
			return conn, err
		}}}
	return func(url string) string {
		res, err := c.Get(url)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		var page bytes.Buffer
		page.ReadFrom(res.Body) // half a page is not what is waited for
		return page.String()
	}
}

// resized: more memory is there at once, inside too.
func (h hands) resized() {
	before := h.inside(h.page, "cat /proc/1/stat")
	h.hnctl("node", "resize", h.page, "--cloudlets", "1:3", "--volume", "srv-data=96")
	h.until("its memory is that of three cloudlets", func() bool {
		return strings.Contains(h.inside(h.page, "grep MemTotal /proc/meminfo"), fmt.Sprint(3*128<<10))
	})
	if out := h.hnctl("node", "resize", h.page); !strings.Contains(out, "1 reserved, 3 dynamic") || !strings.Contains(out, "384 MiB") {
		h.Errorf("its size is %q", out)
	}
	start := func(stat string) string { return strings.Fields(stat + strings.Repeat(" -", 22))[21] } // field 22 of proc_pid_stat(5)
	if now := h.inside(h.page, "cat /proc/1/stat"); start(now) != start(before) {
		h.Errorf("it was started anew: %q, %q", before, now)
	}
	h.refused([]string{"none", "next:"}, "node", "resize", h.page, "--volume", "none=64")
	h.refused([]string{"9999", "next:"}, "node", "resize", "9999", "--cloudlets", "1:2")
	h.refused([]string{"many", "2:8"}, "node", "resize", h.page, "--cloudlets", "many")
}

// putBack: a snapshot is taken, listed, put back and deleted; what was there before it was put back is kept as another one.
func (h hands) putBack() {
	h.inside(h.page, "echo old > /srv/data/word; echo old > /var/www/word")
	h.hnctl("node", "snapshot", "take", h.page, "--note", "by hand")
	list := func() (l []snapshot.Snapshot) {
		h.Helper()
		h.document(&l, "node", "snapshot", "list", h.page)
		return l
	}
	first := list()
	if len(first) != 1 || first[0].Note != "by hand" || len(first[0].Parts) != 2 {
		h.Fatalf("its snapshots are %+v", first)
	}
	h.inside(h.page, "echo new > /srv/data/word; echo new > /var/www/word")
	h.refused([]string{"20200101-000000", "next:"}, "node", "snapshot", "restore", h.page, "20200101-000000")
	h.hnctl("node", "snapshot", "restore", h.page, string(first[0].ID))
	h.settled("by-hand")
	if got := h.inside(h.page, "cat /srv/data/word /var/www/word"); got != "old\nold" {
		h.Errorf("put back, it has %q", got)
	}
	after := list()
	if len(after) != 2 {
		h.Errorf("what was there before is not kept: %+v", after)
	}
	for _, one := range after {
		h.hnctl("node", "snapshot", "delete", h.page, string(one.ID))
	}
	if left := list(); len(left) != 0 {
		h.Errorf("of what was deleted, the list shows %+v", left)
	}
}

// mounted: the volume of one node is seen and written in the other, once that was started anew.
func (h hands) mounted() {
	h.refused([]string{"none", "next:"}, "node", "mount", "add", h.whole, "/mnt", "--from", h.page, "--volume", "none")
	h.hnctl("node", "mount", "add", h.whole, "/mnt", "--from", h.page, "--volume", "srv-data")
	before := h.nodeOf(h.whole)
	h.hnctl("node", "restart", h.whole)
	if after := h.nodeOf(h.whole); after.State != "running" || !after.Started.After(before.Started) {
		h.Errorf("started anew it is %+v, was %+v", after, before)
	}
	if got := h.inside(h.whole, "cat /mnt/word && echo shared > /mnt/word"); got != "old" {
		h.Errorf("there is %q", got)
	}
	if got := h.inside(h.page, "cat /srv/data/word"); got != "shared" {
		h.Errorf("what the other node wrote is %q here", got)
	}
	if out := h.hnctl("node", "mount", "list", h.whole); !regexp.MustCompile(`srv-data\s+/mnt\s+`+h.page).MatchString(out) ||
		strings.Contains(out, "out of reach") {
		h.Errorf("its mounts are %q", out)
	}
	h.refused([]string{h.whole, "pages", "mount list"}, "node", "mount", "delete", h.whole, "pages")
	h.hnctl("node", "mount", "delete", h.whole, "srv-data")
	h.until("its host says what the volume takes, and may take", func() bool {
		var vols []volume.Use
		h.document(&vols, "node", "volume", "list", h.page)
		return len(vols) == 1 && vols[0].Name == "srv-data" && vols[0].Bytes > 0 && vols[0].Limit == 96<<20
	})
	h.refused([]string{"9999", "next:"}, "node", "volume", "list", "9999")
}

func (s story) nodeOf(id string) (n operator.Node) {
	s.Helper()
	s.document(&n, "node", "show", id)
	return n
}

// atConsole: a full OS is worked at by its console, one program by a shell beside it, each on a terminal of 40 lines of 100 characters.
func (h hands) atConsole() {
	h.refused([]string{h.page, "no console", "hnctl node exec " + h.page}, "node", "console", h.page)

	at, ended := h.terminal("node", "console", h.whole)
	at.Sees("Ctrl-] leaves")
	at.Types("\r")
	at.Sees("# ")
	at.Types("echo by-$((40+2))-hand\r")
	at.Sees("by-42-hand")
	at.Types("\x1d") // Ctrl-]
	ended()

	at, ended = h.terminal("node", "exec", h.page, "--", "sh")
	at.Types("echo by-$(stty size)-hand; exit\r")
	at.Sees("by-40 100-hand")
	ended()
}

// terminal starts hnctl on a pseudo-terminal (pty(7)); ended waits for its end, which shall be no error.
func (s story) terminal(args ...string) (at terminal.Page, ended func()) {
	s.Helper()
	far, near, err := pseudoTerminal()
	if err != nil {
		s.Fatalf("open a pseudo-terminal: %v", err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 3*patience())
	s.Cleanup(cancel)
	cmd := s.Command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = near, near, near
	err = cmd.Start()
	near.Close()
	if err != nil {
		far.Close()
		s.Fatal(err)
	}
	out, read := &shown{}, make(chan struct{})
	go func() {
		defer close(read)
		exhaust(out, far)
	}()
	s.Cleanup(func() {
		cancel()
		<-read // hnctl has ended: nobody has the other side
		far.Close()
	})
	return terminal.Page{TB: s.T, Shows: out.String, Patience: patience(),
			Type: func(keys string) error { _, err := far.WriteString(keys); return err }}, func() {
			s.Helper()
			if err := cmd.Wait(); err != nil {
				s.Errorf("hnctl %s ends with %v: %s", strings.Join(args, " "), err, out)
			}
		}
}

// exhaust reads a terminal's far side until nobody has the near one: that is EIO.
func exhaust(to *shown, from *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		to.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// pseudoTerminal is a terminal and the side that plays the person, of 40 × 100.
func pseudoTerminal() (far, near *os.File, err error) {
	if far, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(far.Fd())
	err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	n := 0
	if err == nil {
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100})
	}
	if err == nil {
		near, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return far, near, nil
}
