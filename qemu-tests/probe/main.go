// Command probe looks into a booted host from a test, without the host's help: the shipped image is not changed for it.
//
// Owns: being PID 1 for a moment (rdinit=/probe): it starts itself as a child in a mount namespace of its own, then becomes /init.
// In: one JSON request a line on the virtio-serial port hardnode.probe (harness.Ask).
// Out: one JSON answer a line.
// Never: is part of anything that ships; changes the host except to kill or damage what it is told to.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"hardnode.dev/qemu-tests/harness/ask"
)

func main() {
	if os.Getpid() == 1 {
		if err := becomeInit(); err != nil {
			fmt.Println("probe:", err)
		}
		select {}
	}
	if err := serve(); err != nil {
		if k, e := os.OpenFile("/probe.dir/kmsg", os.O_WRONLY, 0); e == nil {
			fmt.Fprintf(k, "probe: %v\n", err)
		}
		os.Exit(1)
	}
}

// becomeInit leaves a child behind and goes on as the image's own first program.
func becomeInit() error {
	_, err := os.StartProcess("/probe", []string{"/probe", "child"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS}})
	if err != nil {
		return fmt.Errorf("start the child: %v", err)
	}
	return fmt.Errorf("exec /init: %v", syscall.Exec("/init", []string{"/init"}, os.Environ()))
}

// The child's own mounts.
const (
	dir  = "/probe.dir"
	proc = dir + "/proc"
	sys  = dir + "/sys"
	dev  = dir + "/dev"
)

func serve() error {
	for _, m := range [][2]string{{"proc", proc}, {"sysfs", sys}, {"devtmpfs", dev}} {
		if err := os.MkdirAll(m[1], 0o700); err != nil {
			return err
		}
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %v", m[1], err)
		}
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	in := bufio.NewScanner(port)
	out := json.NewEncoder(port)
	for in.Scan() {
		var q ask.Request
		var a ask.Answer
		err := json.Unmarshal(in.Bytes(), &q)
		if err == nil {
			a, err = answer(q)
		}
		if err != nil {
			a.Err = err.Error()
		}
		a.ID = q.ID
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

func openPort() (*os.File, error) {
	names, err := filepath.Glob(sys + "/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == ask.Port {
			return os.OpenFile(filepath.Join(dev, filepath.Base(filepath.Dir(n))), os.O_RDWR, 0)
		}
	}
	return nil, fmt.Errorf("find the virtio-serial port %s: not among %v", ask.Port, names)
}
