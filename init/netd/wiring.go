package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"hardnode.dev/init/modules"
	"hardnode.dev/init/netd/link"
	"hardnode.dev/init/netd/settle"
	"hardnode.dev/init/netd/source"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
)

const (
	resolvConf = boot.RunDir + "/resolv.conf" // /etc/resolv.conf is a link to it
	lookAgain  = 2 * time.Second              // for a configuration, in maintenance mode
)

// finder builds the search for the configuration on this machine; a network that it needs comes of before.
func finder(log *slog.Logger, before *early) settle.Finder {
	f := settle.Finder{
		Local: func() (source.Document, error) { return source.Local("/", mountVolume) },
		Say: func(line string) {
			log.Info("waiting", logging.Reason, line)
			if _, err := daemon.SdNotify(false, "STATUS="+line); err != nil {
				log.Error("tell init", logging.Err, err)
			}
		},
		Code:  machineCode(),
		Again: lookAgain,
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		log.Error("read the kernel command line", logging.Err, err)
	}
	address, err := source.URL(string(cmdline))
	if err != nil {
		f.Remote = func(context.Context) (source.Document, error) { return source.Document{}, err }
	}
	if address != "" {
		f.Remote = func(ctx context.Context) (source.Document, error) {
			if err := before.fetch(); err != nil {
				return source.Document{}, err
			}
			return source.Fetch(ctx, address)
		}
	}
	return f
}

// module loads a kernel module; one that has no file is built into the kernel.
func module(name, params string) error {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	loader, err := modules.Open("/usr/lib/modules/"+strings.TrimSpace(string(release)), sys.LoadModule)
	if err != nil {
		return err
	}
	if err := loader.Add(name, params); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// mountVolume mounts a configuration volume read-only, with the filesystem's modules loaded first: the kernel can't ask for them.
func mountVolume(device, fstype, dir string) (undo func() error, err error) {
	for _, m := range map[string][]string{
		"vfat":    {"vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1"},
		"iso9660": {"isofs"},
		"ext4":    {"ext4"},
	}[fstype] {
		if err := module(m, ""); err != nil {
			return nil, err
		}
	}
	options := ""
	if fstype == "ext4" {
		options = "noload" // a journal may want to be written; this volume is only read
	}
	if err := sys.Mount(device, dir, fstype, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return nil, err
	}
	return func() error { return sys.Unmount(dir, false) }, nil
}

// machineCode is shown in maintenance mode.
func machineCode() string {
	var parts []string
	if raw, err := os.ReadFile("/sys/class/dmi/id/product_uuid"); err == nil {
		parts = append(parts, strings.TrimSpace(string(raw)))
	}
	if cards, err := link.Cards("/sys/class/net"); err == nil {
		for _, c := range cards {
			parts = append(parts, c.MAC)
		}
	}
	return settle.Code(parts...)
}
