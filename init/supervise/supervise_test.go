package supervise

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"hardnode.dev/init/proc"
	"hardnode.dev/internal/run"
)

// The test binary is also the service under test: TEST_SERVICE names what it does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ExecArg {
		fmt.Fprintln(os.Stderr, ExecHelper(os.Args[2:]))
		os.Exit(1)
	}
	if kind := os.Getenv("TEST_SERVICE"); kind != "" {
		services[kind]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func notify(lines ...string) { daemon.SdNotify(false, strings.Join(lines, "\n")) }

// services are what the helper process can be.
var services = map[string]func(){
	"crash": func() { os.Exit(7) },
	"good":  func() { fmt.Println("working"); notify("READY=1", "STATUS=fine"); <-time.After(time.Hour) },
	"hang":  func() { notify("READY=1", "WATCHDOG_USEC=50000"); <-time.After(time.Hour) },
	"never": func() { <-time.After(time.Hour) },
	"lives": lives,
	"slow":  slowEnd(200),
	"stuck": slowEnd(1_000_000),
	"store": func() {
		files := activation.Files(true)
		if len(files) == 0 { // first life: store the write end of a pipe and die at once
			r, w, err := os.Pipe()
			if err != nil {
				os.Exit(1)
			}
			w.WriteString("from the first life")
			w.Close()
			sendFile("FDSTORE=1\nFDNAME=pipe-7", r)
			os.Exit(9)
		}
		text, _ := io.ReadAll(files[0])
		fmt.Printf("found %s: %s\n", files[0].Name(), text)
		notify("READY=1")
		<-time.After(time.Hour)
	},
}

// slowEnd asks for time when it is told to stop, again and again, and is done after two seconds, or never.
func slowEnd(beats int) func() {
	return func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, unix.SIGTERM)
		notify("READY=1")
		<-stop
		for i := range beats {
			notify("EXTEND_TIMEOUT_USEC=20000000", fmt.Sprintf("STATUS=beat %d", i))
			<-time.After(10 * time.Millisecond)
		}
		fmt.Println("ended in order")
	}
}

func sendFile(text string, f *os.File) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		os.Exit(2)
	}
	if err := unix.Sendmsg(fd, []byte(text), unix.UnixRights(int(f.Fd())), &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")},
		0); err != nil {
		os.Exit(3)
	}
}

// world is a supervisor in a temporary directory, without cgroups.
type world struct {
	*Supervisor
	ctx context.Context
	mu  struct {
		sync.Mutex
		said []string
	}
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	began := time.Now()
	record := func(line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mu.said = append(w.mu.said, line)
	}
	w.Supervisor = &Supervisor{Procs: &proc.Table{}, Socket: filepath.Join(dir, "notify"), Cgroup: filepath.Join(dir, "system"),
		LogDir: dir, Self: self,
		NoCgroup: true, Uptime: func() time.Duration { return time.Since(began) },
		Say:    func(format string, args ...any) { record(fmt.Sprintf(format, args...)) },
		Output: func(service, line string) { record(service + "> " + line) }}
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.ctx = ctx
	done := make(chan error, 1)
	reading, stopReading := context.WithCancel(context.Background())
	go func() { done <- w.Notifications(reading) }()
	t.Cleanup(func() {
		cancel()
		w.Wait()
		stopReading()
		<-done
		if t.Failed() {
			t.Logf("said:\n%s", strings.Join(w.all(), "\n"))
		}
	})
	return w
}

func (w *world) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.mu.said...)
}

func (w *world) service(name string) Service {
	return Service{Name: name, Argv: []string{w.Self}, Env: []string{"TEST_SERVICE=" + name}}
}

// until waits for a line that contains want, n times.
func (w *world) until(t *testing.T, want string, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		found := 0
		for _, l := range w.all() {
			if strings.Contains(l, want) {
				found++
			}
		}
		if found >= n {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("never said %q %d times", want, n)
}

func TestReadyStatusAndLog(t *testing.T) {
	w := newWorld(t)
	h := w.Keep(w.ctx, w.service("good"))
	select {
	case <-h.Ready():
	case <-time.After(time.Minute):
		t.Fatal("never ready")
	}
	w.until(t, "good> working", 1)
	w.until(t, "service good: fine", 1)
	st := w.Status()[0]
	if st.State != Ready || st.PID == 0 || st.Restarts != 0 {
		t.Errorf("got %+v, want ready, a pid, no restarts", st)
	}
	h.Stop()
	if st := w.Status()[0]; st.State != Stopped || st.PID != 0 {
		t.Errorf("after stop got %+v", st)
	}
	log, err := os.ReadFile(filepath.Join(w.LogDir, "good"))
	if err != nil || string(log) != "working\n" {
		t.Errorf("log file: %q, %v", log, err)
	}
}

func TestCrashIsRestartedAtOnceThenBacksOff(t *testing.T) {
	w := newWorld(t)
	w.Keep(w.ctx, w.service("crash"))
	w.until(t, "exit status 7; started again in 0s", 1)
	w.until(t, "exit status 7; started again in", 3)
	waits := 0
	for _, l := range w.all() {
		if strings.Contains(l, "started again in") && !strings.HasSuffix(l, " 0s") {
			waits++
		}
	}
	if waits < 2 {
		t.Errorf("%d restarts waited, want at least 2 of 3", waits)
	}
}

func TestHungServiceIsKilled(t *testing.T) {
	w := newWorld(t)
	w.Keep(w.ctx, w.service("hang"))
	w.until(t, "hung: no WATCHDOG=1", 1)
	w.until(t, "service hang: ready", 2)
}

func TestServiceThatIsNeverReadyIsKilled(t *testing.T) {
	w := newWorld(t)
	s := w.service("never")
	s.Ready = 50 * time.Millisecond
	w.Keep(w.ctx, s)
	w.until(t, "not ready after 50ms; killed", 1)
}

func TestStoredDescriptorReachesTheNextLife(t *testing.T) {
	w := newWorld(t)
	h := w.Keep(w.ctx, w.service("store"))
	select {
	case <-h.Ready():
	case <-time.After(time.Minute):
		t.Fatal("the second life never was ready")
	}
	w.until(t, "store> found pipe-7: from the first life", 1)
	if got := w.Status()[0].Restarts; got != 1 {
		t.Errorf("%d restarts, want 1", got)
	}
}

func TestVitalServiceStarvesTheWatchdog(t *testing.T) {
	s := &service{Service: Service{Name: "spawner", Vital: true}, sup: &Supervisor{Uptime: func() time.Duration { return 0 }}}
	s.set(Starting, nil)
	now := time.Now()
	if !s.healthy(now) {
		t.Error("a service that just started is not healthy")
	}
	if s.healthy(now.Add(VitalGrace + time.Second)) {
		t.Error("a vital service may be away for ever")
	}
	s.set(Ready, nil)
	if !s.healthy(now.Add(time.Hour)) {
		t.Error("a ready service is not healthy")
	}
}

// A service that is being stopped may ask for more time, and tell how far it is; not for ever, and not one that was promised none.
func TestServiceExtendsItsStop(t *testing.T) {
	for _, c := range []struct {
		name string
		most time.Duration
		want []string
	}{
		{"slow", time.Minute, []string{"slow> ended in order", "service slow: beat 199"}},
		{"stuck", 1500 * time.Millisecond, []string{"service stuck: beat 1", "service stuck: did not stop within"}},
		{"slow", 0, []string{"service slow: did not stop within"}},
	} {
		w := newWorld(t)
		s := w.service(c.name)
		s.Stop, s.StopMost = time.Second, c.most // to ask for more in; a busy machine may take half of it
		h := w.Keep(w.ctx, s)
		select {
		case <-h.Ready():
		case <-time.After(time.Minute):
			t.Fatal("never ready")
		}
		h.Stop()
		for _, line := range c.want {
			w.until(t, line, 1)
		}
	}
}

// TestSwap: another program takes a service's place with its descriptors, at once, also while it waits for a restart; a stopped service
// takes none.
func TestSwap(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.Symlink(w.Self, other); err != nil {
		t.Fatal(err)
	}
	h := w.Keep(w.ctx, w.service("store"))
	w.until(t, "service store: ready", 1)
	pid := h.Status().PID
	if err := h.Swap(w.ctx, other); err != nil {
		t.Fatal(err)
	}
	w.until(t, "store> found pipe-7", 2) // what the first life stored reaches this one too
	w.until(t, "service store: ready", 2)
	if st := h.Status(); st.Program != other || st.PID == pid || st.State != Ready || st.Restarts != 1 {
		t.Errorf("got %+v, want %s, ready, no more restarts", st, other)
	}
	c := w.Keep(w.ctx, w.service("crash"))
	w.until(t, "service crash: exit status 7; started again in", 4) // the next one is a while away
	before := c.Status().Restarts
	if err := c.Swap(w.ctx, other); err != nil {
		t.Fatal(err)
	}
	w.until(t, "service crash: exit status 7; started again in 0s", 2)
	if st := c.Status(); st.Program != other || st.Restarts <= before {
		t.Errorf("got %+v, want %s and more restarts than %d", st, other, before)
	}
	h.Stop()
	if err := h.Swap(w.ctx, other); err == nil {
		t.Error("a stopped service takes another program")
	}
}

// TestHeld: each process of a service has what is held for it; and a silent one is left alone while nobody waits for it.
func TestHeld(t *testing.T) {
	w := newWorld(t)
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p.WriteString("from before the first life")
	p.Close()
	s := w.service("store")
	s.Held = []*os.File{r}
	w.Keep(w.ctx, s)
	w.until(t, "store> found |0: from before the first life", 1)
	asks := make(chan time.Time)
	s = w.service("hang")
	s.Asks = asks
	w.Keep(w.ctx, s)
	w.until(t, "service hang: ready", 1)
	<-time.After(300 * time.Millisecond) // it promised a beat each 50 ms
	for _, l := range w.all() {
		if strings.Contains(l, "hung") {
			t.Errorf("killed though nobody waits for it: %s", l)
		}
	}
	since := time.Now()
	go run.Every(w.ctx, 5*time.Millisecond, func(ctx context.Context) error { // somebody waits from now on
		select {
		case asks <- since:
		case <-ctx.Done():
		}
		return nil
	})
	w.until(t, "service hang: hung", 1)
}
