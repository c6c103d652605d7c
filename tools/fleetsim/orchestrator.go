package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/tools/hnctl/client"
)

// program is an orchestrator that runs as a process of its own.
type program struct {
	api, hosts string // where it listens
	proc       *exec.Cmd
	log        string
}

// startOrchestrator starts the program on the cluster's seed and waits until its API answers.
func startOrchestrator(ctx context.Context, path, cpu, dir string, c *founded.Cluster) (*program, error) {
	seed, err := json.Marshal(c.Seed)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "seed.json"), seed, 0o600); err != nil {
		return nil, err
	}
	p := &program{log: filepath.Join(dir, "orchestrator.log")}
	if p.api, err = freeAddress(); err != nil {
		return nil, err
	}
	if p.hosts, err = freeAddress(); err != nil {
		return nil, err
	}
	args := []string{path, "-seed", filepath.Join(dir, "seed.json"), "-data", filepath.Join(dir, "data"), "-listen-api", p.api,
		"-listen-hosts", p.hosts, "-clock-scale", "1", "-quiet"}
	if cpu != "" {
		args = append([]string{"taskset", "-c", cpu}, args...)
	}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.proc = exec.CommandContext(ctx, args[0], args[1:]...)
	p.proc.Stdout, p.proc.Stderr = out, out
	p.proc.Cancel = func() error { return p.proc.Process.Signal(syscall.SIGTERM) }
	p.proc.WaitDelay = 30 * time.Second
	if err := p.proc.Start(); err != nil {
		return nil, fmt.Errorf("start the orchestrator: %v", err)
	}
	api := p.client(c)
	for end := time.Now().Add(time.Minute); ; {
		err := api.Call(ctx, http.MethodGet, "/api/v1/version", nil, nil)
		if err == nil {
			return p, nil
		}
		if time.Now().After(end) || !run.Wait(ctx, 100*time.Millisecond) {
			p.stop()
			return nil, fmt.Errorf("wait for the orchestrator's API: %v; its log is %s", err, p.log)
		}
	}
}

// stop ends it and waits for that.
func (p *program) stop() error {
	if err := p.proc.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := p.proc.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() <= 0 { // it was told to end
		return nil
	}
	return err
}

func (p *program) client(c *founded.Cluster) *client.Client {
	return client.Orchestrator([]string{"https://" + p.api}, c.Trust(), c.Admin)
}

// usage is what the process has used: CPU time, and the memory it has now.
func (p *program) usage() (cpu time.Duration, rss int64, err error) {
	at := "/proc/" + strconv.Itoa(p.proc.Process.Pid)
	stat, err := os.ReadFile(at + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// proc_pid_stat(5): field 24, resident pages; field 2 may hold blanks and ends with ")".
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return 0, 0, fmt.Errorf("read %s/stat: it has %d fields", at, len(fields))
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s/stat: %w", at, err)
	}
	cpu, err = cpuOf(p.proc.Process.Pid)
	return cpu, pages * int64(os.Getpagesize()), err
}

// cpuOf is the CPU time of all threads of a process, by the process's own clock, which counts nanoseconds: the ticks of
// proc_pid_stat(5) are 10 ms, and a quiet orchestrator on a fast machine needs less in some seconds. Source of the clock's number:
// include/linux/posix-timers.h, make_process_cpuclock with CPUCLOCK_SCHED (what clock_getcpuclockid(3) gives).
func cpuOf(pid int) (time.Duration, error) {
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// template is what all simulated nodes are made of.
const template wire.TemplateName = "sim:1"

// registry answers the orchestrator as a registry with one template does. It needs the cluster, which needs its address first.
type registry struct {
	listener net.Listener
	server   *http.Server
}

func listenRegistry() (*registry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return &registry{listener: l}, err
}

func (r *registry) serve(c *founded.Cluster) error {
	holder, err := c.Component("registry", 1, time.Now())
	if err != nil {
		return err
	}
	d := wire.DigestOf([32]byte{1})
	list, err := json.Marshal(host.Templates{Version: 1, Templates: []host.Template{{
		Image:    host.Image{Name: template, Digest: d, Bytes: 1 << 20},
		OCI:      d,
		Process:  host.Process{Argv: []string{"/sim"}},
		HTTPPort: 80,
		Check:    &host.Check{Port: 80},
		Profile:  host.ProfileApp,
	}}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+host.PathImages, func(w http.ResponseWriter, _ *http.Request) { w.Write(list) })
	mux.HandleFunc("PUT "+host.PathUsed, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(&bytes.Buffer{}, "", 0)}
	go r.server.Serve(tls.NewListener(r.listener, identity.ServerTLS(c.Trust(), nil, holder)))
	return nil
}

func (r *registry) close() {
	r.listener.Close()
	if r.server != nil {
		r.server.Close()
	}
}
