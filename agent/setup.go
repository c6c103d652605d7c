package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/consoleapi"
	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/agent/slots"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	slotswire "hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/upkeep"
)

// serveSetup is all that the agent does on a host that has no configuration yet: it serves who stands at the host's terminals. init ends it
// when there is one.
func serveSetup(ctx context.Context, log *slog.Logger, state, data string) error {
	a := &agent{log: log, config: boot.ConfigFile, facts: facts.Source{Data: data}, links: &facts.Links{}}
	var err error
	if a.boot, err = a.facts.BootID(); err != nil {
		return err
	}
	a.read()
	a.slots = a.keeper(state)
	waiting := slots.NewWaiting()
	a.install = install.New(install.Options{Early: true, Log: log,
		Say:    func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
		Reboot: func(reason string) error { return leaveMachine(ctx, upkeep.Leave{By: "installation", Reason: reason}) }})
	o := a.bare(errors.New("this host has no configuration yet, and runs no containers"), a.unconfigured)
	o.Activate, o.Slots = activate, waiting.Status
	o.ChangeSlots = func(context.Context, slotswire.Request) (slotswire.Status, error) {
		return waiting.Status(), waiting.Refuse()
	}
	listening, err := consoleapi.Open(o)
	if err != nil {
		return err
	}
	newNotify(log).say("READY=1")
	return run.Group(ctx, log,
		run.Task{Name: "links", Run: a.links.Keep},
		run.Task{Name: "BMC", Run: a.askBMC},
		run.Task{Name: "boot loader", Run: func(context.Context) error { // a disk that hangs costs nobody the terminal
			if err := waiting.Up(log); err != nil {
				log.Warn("the boot loader was not told that this system came up", logging.Err, err)
			}
			return nil
		}},
		run.Task{Name: "console", Run: listening})
}

// unconfigured is the status of a host that waits for its configuration.
func (a *agent) unconfigured(context.Context) boot.AgentStatus {
	s := boot.AgentStatus{Stage: boot.StageUnconfigured, Version: build.Version, Boot: a.boot, Link: "no configuration yet",
		Containers: []host.ContainerStatus{}, RSS: a.facts.RSS()}
	for _, addr := range a.links.Addrs() {
		s.Addresses = append(s.Addresses, addr.String())
	}
	return s
}

// activate gives netd a configuration that was typed, after it was put where the next boot finds it, if there is such a place.
func activate(ctx context.Context, document []byte) (done console.Activated, err error) {
	if done.Name, err = facts.Configure(ctx, document, true); err != nil {
		return done, err
	}
	kept, err := keepConfig(document)
	if err != nil {
		kept = "nowhere (" + err.Error() + "): the next boot asks again; put the file on a volume labelled HARDNODE"
	}
	done.Kept = kept
	_, err = facts.Configure(ctx, document, false)
	return done, err
}

// errNoVolume: the host was booted from what can't be written to.
var errNoVolume = errors.New("there is no volume labelled HARDNODE that can be written to")

// keepConfig puts a configuration onto the volume that the boot looks at, and returns which that is.
func keepConfig(document []byte) (where string, err error) {
	path, kind, err := disk.ByLabel("/sys/class/block", "/dev", configVolume, efi.Vars{Dir: efi.Dir}.Partition())
	if err != nil {
		return "", err
	}
	if kind != "vfat" {
		return "", errNoVolume
	}
	return fmt.Sprintf("file %s of the volume %s on %s", configName, configVolume, path), partition.Mounted(path, kind, unix.MS_SYNCHRONOUS,
		func(dir string) error {
			// In its place: nothing of worth is lost, since this host has no configuration, and FAT can't put one name for another.
			return errors.Join(partition.Write(filepath.Join(dir, configName), string(document)), partition.Sync(dir))
		})
}

// Where the boot looks for a configuration (init/netd/source).
const (
	configVolume = "HARDNODE"
	configName   = "hardnode.yaml"
)
