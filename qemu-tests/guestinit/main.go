// Command guestinit is PID 1 of a guest test: it makes the machine a root test may work in, runs it, and powers off.
//
// Owns: the guest's mounts, modules, first cgroup and btrfs.
// In: /guest.json and the test binary, from the initramfs that harness.RunGuestTest makes.
// Out: the test's output lines and its result as events on the virtio-serial port.
// Never: is part of anything that ships.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

// plan is what harness.RunGuestTest wrote.
type plan struct {
	Modules []string `json:"modules"`
	Disk    bool     `json:"disk"`
	Argv    []string `json:"argv"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir"`
}

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestinit: is only for PID 1 of a guest test")
		os.Exit(2)
	}
	begin := time.Now()
	var ev *events
	err := func() error {
		if err := switchRoot(); err != nil {
			return err
		}
		b, err := os.ReadFile("/guest.json")
		if err != nil {
			return err
		}
		var p plan
		if err := json.Unmarshal(b, &p); err != nil {
			return fmt.Errorf("decode /guest.json: %v", err)
		}
		if err := mountAll(); err != nil {
			return err
		}
		for _, m := range p.Modules {
			if err := load(m); err != nil {
				return err
			}
		}
		if ev, err = openEvents(); err != nil {
			return err
		}
		if err := cgroups(); err != nil {
			return err
		}
		if err := loopback(); err != nil {
			return err
		}
		if p.Disk {
			if err := disk(); err != nil {
				return err
			}
		}
		ev.send("ready", fmt.Sprint(time.Since(begin).Round(time.Millisecond)))
		return runTest(ev, p)
	}()
	result := "ok"
	if err != nil {
		result = err.Error()
		fmt.Println("guestinit:", result)
	}
	ev.send("exit", result)
	syscall.Sync()
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("guestinit: power off:", err)
	}
	select {}
}
