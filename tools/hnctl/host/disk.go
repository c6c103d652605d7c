package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/tools/hnctl/app"
)

func hostInstall(a *app.App) *cobra.Command {
	var want operator.InstallHost
	var paths []string
	c := &cobra.Command{
		Use: "install HOST", Short: "Put a host's system onto a disk, or a mirror of two, and boot from it; asks for its name first",
		Args: cobra.ExactArgs(1),
		Long: "Puts the system that a host was booted with (from a stick, a CD or the network) onto one of its disks, and boots it from " +
			"there.\n" +
			"The host keeps its identity; what its containers have in memory is lost, as at any boot of a host without a disk.\n" +
			"A disk that holds anything is refused unless --wipe names it; the boot medium always. --dry-run shows the plan.\n" +
			"On two disks (--disk twice, or --mirror) either may fail: the host goes on, and hnctl host disk replace makes it whole again.",
		Example: "  hnctl host install host-1 --dry-run\n  hnctl host install host-1 --disk-serial S1234\n" +
			"  hnctl host install host-1 --disk /dev/sda --disk /dev/sdb",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(paths) == 1:
				want.Disk.Path = paths[0]
			case len(paths) > 1:
				if want.Disk != (install.Rule{}) {
					return errors.New("--disk twice names both disks; leave the other --disk- flags out")
				}
				for _, p := range paths {
					want.Disks = append(want.Disks, install.Rule{Path: p})
				}
			}
			if len(want.Wipes) == 1 {
				want.Wipe, want.Wipes = want.Wipes[0], nil
			}
			if err := want.Validate(); err != nil {
				return err
			}
			path := "/hosts/" + url.PathEscape(args[0])
			h, err := app.Get[operator.Host](cmd.Context(), a, path)
			if err != nil {
				return err
			}
			planOnly := want.DryRun
			want.DryRun = true
			var plan operator.HostInstallation
			if err := a.Call(cmd.Context(), http.MethodPost, path+"/install", want, &plan); err != nil {
				return err
			}
			if planOnly {
				return showPlan(a, plan)
			}
			what := fmt.Sprintf("install host %s to %s", h.Name, plan.Plan.Names())
			if lost := plan.Plan.Loses(); lost != "" {
				what += ", which loses " + lost
			}
			if err := a.ConfirmName(what, h.Name); err != nil {
				return err
			}
			want.DryRun = false
			if two := plan.Plan.Second; two != nil {
				want.Disk, want.Mirror = install.Rule{}, false
				want.Disks = []install.Rule{{Path: plan.Plan.Disk.Path}, {Path: two.Disk.Path}}
			} else {
				want.Disk.Path = plan.Plan.Disk.Path
			}
			if err := a.Call(cmd.Context(), http.MethodPost, path+"/install", want, &plan); err != nil {
				return err
			}
			return installed(cmd.Context(), a, h)
		},
	}
	c.Flags().StringArrayVar(&paths, "disk", nil, "the disk's path, such as /dev/sda; given twice: both disks of a mirror")
	c.Flags().BoolVar(&want.Mirror, "mirror", false, "take two disks, both as the --disk- flags say")
	c.Flags().StringVar(&want.Disk.ID, "disk-id", "", "the disk's name in /dev/disk/by-id")
	c.Flags().StringVar(&want.Disk.Model, "disk-model", "", "the disk's model; * stands for anything")
	c.Flags().StringVar(&want.Disk.Serial, "disk-serial", "", "the disk's serial number; * stands for anything")
	c.Flags().StringVar(&want.Disk.Transport, "disk-transport", "", "one of "+strings.Join(install.Transports, ", "))
	c.Flags().StringArrayVar(&want.Wipes, "wipe", nil, "the path of the disk, to lose what it holds; may be given twice")
	c.Flags().StringVar(&want.Encrypt, "encrypt", "", "tpm: encrypt the host's state, which its TPM opens; its console shows the recovery "+
		"key, once")
	c.Flags().BoolVar(&want.DryRun, "dry-run", false, "show the plan, write nothing")
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func showPlan(a *app.App, s operator.HostInstallation) error {
	return a.Show(s, s.Plan.Disk.Path, func(t *app.Table) {
		for _, x := range s.Plan.Targets() {
			t.Fields("disk", strings.Join(app.NonEmpty(x.Disk.Path, x.Disk.Model, x.Disk.Serial), " "), "holds", x.Disk.Holds)
		}
		t.Fields("system from", s.Plan.Source)
		for n, step := range s.Plan.Steps {
			t.Fields(fmt.Sprintf("%d", n+1), step)
		}
	})
}

// installed waits until a host is back from its disk, and says what it does meanwhile.
func installed(ctx context.Context, a *app.App, was operator.Host) error {
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	path, step := "/hosts/"+string(was.ID), 0
	for run.Wait(ctx, leftEvery) {
		h, err := app.Get[operator.Host](ctx, a, path)
		if err != nil {
			continue // it may run the orchestrator
		}
		if h.Boot != was.Boot && h.State.Answers() {
			a.Say("host %s runs from its disk", h.Name)
			return nil
		}
		s, err := app.Get[operator.HostInstallation](ctx, a, path+"/install")
		if err != nil || s.Plan == nil || h.Boot != was.Boot {
			continue
		}
		if s.State == install.Failed || s.State == install.Refused {
			return fmt.Errorf("host %s: %s", h.Name, s.Reason)
		}
		if s.Step > step && s.Step <= len(s.Plan.Steps) {
			step = s.Step
			a.Say("%d of %d: %s", step, len(s.Plan.Steps), s.Plan.Steps[step-1])
		}
	}
	return app.WithCode(app.ExitTimeout, fmt.Errorf("host %s: no end of its installation is seen yet; it goes on, see its console",
		was.Name))
}

func hostSlots(a *app.App) *cobra.Command {
	var want operator.ChangeSlots
	var within time.Duration
	ways := map[slots.Action]*bool{slots.Try: new(bool), slots.Rollback: new(bool), slots.Stay: new(bool), slots.Copy: new(bool)}
	c := &cobra.Command{
		Use: "slots HOST", Short: "The systems of an installed host: which is committed, good, tried, booted next; or boot another one",
		Args: cobra.ExactArgs(1),
		Long: "Shows the two places for systems on an installed host's disk. With --try the host boots the other one at its next " +
			"reboot, once:\n" +
			"it is committed when agent, orchestrator link, gossip, storage and a smoke container are well in time, else the host goes " +
			"back by itself.",
		Example: "  hnctl host slots host-1\n  hnctl host slots host-1 --copy\n  hnctl host slots host-1 --try --reboot",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/hosts/" + url.PathEscape(args[0]) + "/slots"
			for what, asked := range ways {
				if *asked {
					want.Action = what
				}
			}
			if want.Action == "" {
				s, err := app.Get[operator.HostSlots](cmd.Context(), a, path)
				if err != nil {
					return err
				}
				return showSlots(cmd.Context(), a, args[0], s)
			}
			if want.Action == slots.Try {
				want.Within = int64(within / time.Second)
			}
			return changeSlots(cmd.Context(), a, args[0], path, want)
		},
	}
	c.Flags().BoolVar(ways[slots.Try], "try", false, "boot the other system at the next reboot, once; it is committed when it is well")
	c.Flags().BoolVar(ways[slots.Rollback], "rollback", false,
		"go back to the other system, which was good, at the next reboot; a try under way is given up")
	c.Flags().BoolVar(ways[slots.Stay], "stay", false, "take back what was asked for since the host's boot: it boots the same system again")
	c.Flags().BoolVar(ways[slots.Copy], "copy", false, "copy the system that is booted into the other slot")
	c.MarkFlagsMutuallyExclusive("try", "rollback", "stay", "copy")
	c.Flags().BoolVar(&want.Reboot, "reboot", false, "with --try and --rollback: reboot the host now")
	c.Flags().DurationVar(&within, "within", 10*time.Minute, "with --try: how long it may take, from its start, to be well")
	return c
}

// changeSlots asks for a change, and waits until it is made.
func changeSlots(ctx context.Context, a *app.App, name, path string, want operator.ChangeSlots) error {
	var s operator.HostSlots
	if err := a.Call(ctx, http.MethodPost, path, want, &s); err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	var err error
	for s.Busy != "" && run.Wait(ctx, leftEvery) {
		if s, err = app.Get[operator.HostSlots](ctx, a, path); err != nil {
			return err
		}
	}
	if s.Failed != "" {
		return errors.New(s.Failed)
	}
	return showSlots(ctx, a, name, s)
}

func showSlots(ctx context.Context, a *app.App, name string, s operator.HostSlots) error {
	var system operator.HostSystem
	if !s.Installed {
		var err error
		if system, err = app.Get[operator.HostSystem](ctx, a, "/hosts/"+url.PathEscape(name)+"/system"); err != nil {
			return err
		}
	}
	return a.Show(s, name, func(t *app.Table) {
		if !s.Installed {
			t.Fields("host "+name, "not installed: it runs from a medium or the network, and has no slots")
			if system.Status != nil && system.Status.Net {
				t.Fields("from the network", system.Status.Release, "image", system.Image, "wanted", system.Status.Target,
					"state", string(system.Status.State), "reason", system.Status.Reason)
			}
			return
		}
		t.Head("SLOT", "STATE", "VERSION", "BOOTED", "NEXT", "TRIES", "MIB", "NOTE")
		mark := map[bool]string{true: "yes"}
		for _, x := range s.Slots {
			t.Row(string(x.Name), string(x.State), x.Version, mark[x.Booted], mark[x.Next], x.Tries, x.Bytes>>20, x.Reason)
		}
		if s.Hot != "" {
			t.Fields("hot", fmt.Sprintf("the programs of release %s run in place of the booted slot's", s.Hot))
		}
		for _, w := range s.Waits {
			t.Fields("waits for", w)
		}
		for _, line := range append(s.Firmware, app.NonEmpty(s.Busy, s.Problem)...) {
			t.Fields("firmware", line)
		}
	})
}
