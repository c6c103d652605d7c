package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// events is the virtio-serial port to the test outside.
type events struct {
	mu  sync.Mutex
	out io.Writer
}

// openEvents finds the port by the name the harness gave it.
func openEvents() (*events, error) {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == "hardnode.events" {
			f, err := os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			return &events{out: f}, nil
		}
	}
	return nil, fmt.Errorf("find the virtio-serial port hardnode.events: not among %v", names)
}

// send writes one event; without a port it does nothing.
func (e *events) send(kind, text string) {
	if e == nil {
		return
	}
	line, err := json.Marshal(map[string]string{"kind": kind, "data": text})
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.Write(append(line, '\n'))
}

// command runs a helper program whose failure is the guest's.
func command(argv ...string) error {
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// runTest runs the test binary, passes on its output line by line, and reaps every orphan until it ends.
func runTest(ev *events, p plan) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	proc, err := os.StartProcess(p.Argv[0], p.Argv,
		&os.ProcAttr{Dir: p.Dir, Env: p.Env, Files: []*os.File{null, w, w}, Sys: &syscall.SysProcAttr{Setsid: true}})
	w.Close()
	if err != nil {
		return fmt.Errorf("start %s: %v", p.Argv[0], err)
	}
	lines := make(chan struct{})
	go func() {
		defer close(lines)
		s := bufio.NewReaderSize(r, 64<<10)
		for {
			line, err := s.ReadString('\n')
			if line = strings.TrimSuffix(line, "\n"); line != "" || err == nil {
				ev.send("out", line)
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait for the test: %v", err)
		case pid != proc.Pid:
			continue
		}
		r.SetReadDeadline(time.Now().Add(time.Second)) // an orphan may still hold the pipe
		<-lines
		switch {
		case ws.Signaled():
			return fmt.Errorf("the test was killed by %v", ws.Signal())
		case ws.ExitStatus() != 0:
			return fmt.Errorf("the test ended with status %d", ws.ExitStatus())
		}
		return nil
	}
}
