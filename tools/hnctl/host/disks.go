package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/scrub"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/tools/hnctl/app"
)

func hostDisk(a *app.App) *cobra.Command {
	return app.Group("disk", "The disks that an installed host lies on: one, or two that mirror each other", diskShow(a), diskAdd(a),
		diskReplace(a), diskScrub(a), diskAcknowledge(a))
}

func diskAcknowledge(a *app.App) *cobra.Command {
	want := operator.AcknowledgeDisk{}
	c := &cobra.Command{Use: "acknowledge HOST DISK", Short: "Have a host count the errors of a disk anew", Args: cobra.ExactArgs(2),
		Long: "A host counts the reads, writes and flushes of a disk that failed, and calls the disk failing from the first one on.\n" +
			"When a cable was changed, say, and the disk shall be trusted again, this has it count from 0. Who did it and how many\n" +
			"there were is on record (hnctl audit list). If there are others by now than were seen, nothing is done.",
		Example: "  hnctl host disk show host-1\n  hnctl host disk acknowledge host-1 /dev/sdb --errors 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Disk = args[1]
			if !cmd.Flags().Changed("errors") {
				s, err := app.Get[operator.HostDisks](cmd.Context(), a, disksPath(args[0]))
				if err != nil {
					return err
				}
				if want.Errors = errorsOf(s, args[1]); want.Errors == 0 {
					return app.WithCode(app.ExitConflict, fmt.Errorf("host %s counts no errors of a disk %s: hnctl host disk show %s",
						args[0], args[1], args[0]))
				}
			}
			if err := want.Validate(); err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			var s operator.HostDisks
			if err := a.Call(cmd.Context(), http.MethodPost, disksPath(args[0])+"/acknowledge", want, &s); err != nil {
				return err
			}
			a.Say("host %s counts the errors of disk %s anew; they were %d", args[0], args[1], s.Acknowledged)
			return showDisks(a, args[0], s)
		}}
	c.Flags().Int64Var(&want.Errors, "errors", 0, "how many were seen; as many as there are if not given")
	return c
}

// errorsOf is what a host counts of a disk.
func errorsOf(s operator.HostDisks, path string) int64 {
	for _, d := range s.Disks {
		if d.Path == path && d.Errors > 0 {
			return d.Errors
		}
	}
	for _, d := range s.Health {
		if d.Path == path {
			return d.Errors
		}
	}
	return 0
}

func diskScrub(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "scrub HOST", Short: "Have a host read all of its data and compare checksums now", Args: cobra.ExactArgs(1),
		Long: "Has a host read all that lies on its DATA and compare checksums, as it does by itself once a month, a part at a time.\n" +
			"What a mirror has a good copy of is mended; what is lost is said, and the kernel's log names the files. Nothing stops\n" +
			"meanwhile.",
		Example: "  hnctl host disk scrub host-1\n  hnctl host disk show host-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			var s operator.HostDisks
			if err := a.Call(cmd.Context(), http.MethodPost, disksPath(args[0])+"/scrub", nil, &s); err != nil {
				return err
			}
			if s.Scrub == nil {
				return fmt.Errorf("host %s does not know how to scrub; update its release", args[0])
			}
			a.Say("host %s scrubs its data; see hnctl host disk show %s", args[0], args[0])
			return showDisks(a, args[0], s)
		}}
}

func diskShow(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "show HOST", Short: "Whether a host's disks are whole, their health, and how far a replacement is",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := app.Get[operator.HostDisks](cmd.Context(), a, disksPath(args[0]))
			if err != nil {
				return err
			}
			return showDisks(a, args[0], s)
		}}
}

func disksPath(host string) string { return "/hosts/" + url.PathEscape(host) + "/disks" }

func diskReplace(a *app.App) *cobra.Command {
	return diskFill(a, false, &cobra.Command{Use: "replace HOST [DISK]",
		Short: "Fill another disk in the place of one that is gone from a host on two disks",
		Long: "Has a host that lies on two disks, and lost one, fill another one from the disk that is left, and waits until both have\n" +
			"all. The host goes on meanwhile. Cut off, by a loss of power too, it goes on by itself, or with the same command.\n" +
			"A disk that holds anything is refused unless --wipe names it, the old one that comes back too. --dry-run shows the plan.",
		Example: "  hnctl host disk show host-1\n  hnctl host disk replace host-1\n" +
			"  hnctl host disk replace host-1 /dev/sdb --wipe /dev/sdb"})
}

func diskAdd(a *app.App) *cobra.Command {
	return diskFill(a, true, &cobra.Command{Use: "add HOST [DISK]", Short: "Give a host on one disk a second one that mirrors it",
		Long: "Has a host that was installed on one disk fill a second one, and waits until both have all: then either may go, as if it\n" +
			"had been installed on two. The host goes on meanwhile. Cut off, by a loss of power too, it goes on by itself, or with the\n" +
			"same command. A disk that holds anything is refused unless --wipe names it. --dry-run shows the plan.\n" +
			"Refused are a host whose STATE is encrypted, and one with volumes that are written in place (nodatacow): they are named.",
		Example: "  hnctl host disk add host-1 /dev/sdb --dry-run\n  hnctl host disk add host-1 /dev/sdb\n" +
			"  hnctl host disk add host-1 --disk-serial 'S4EV*'"})
}

// diskFill makes a command of one that has a disk filled.
func diskFill(a *app.App, add bool, c *cobra.Command) *cobra.Command {
	want := operator.ReplaceDisk{Replace: storage.Replace{Add: add}}
	c.Args = cobra.RangeArgs(1, 2)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			if want.Disk.Path != "" && want.Disk.Path != args[1] {
				return app.WithCode(app.ExitUsage, fmt.Errorf("DISK says %s and --disk %s: give one of them", args[1], want.Disk.Path))
			}
			want.Disk.Path = args[1]
		}
		if err := want.Validate(); err != nil {
			return err
		}
		var s operator.HostDisks
		if err := a.Call(cmd.Context(), http.MethodPost, disksPath(args[0]), want, &s); err != nil {
			return err
		}
		if want.DryRun {
			return showDisks(a, args[0], s)
		}
		return filled(cmd.Context(), a, args[0], s)
	}
	c.Flags().StringVar(&want.Disk.Path, "disk", "", "the new disk's path, such as /dev/sdb")
	c.Flags().StringVar(&want.Disk.ID, "disk-id", "", "the new disk's name in /dev/disk/by-id")
	c.Flags().StringVar(&want.Disk.Model, "disk-model", "", "the new disk's model; * stands for anything")
	c.Flags().StringVar(&want.Disk.Serial, "disk-serial", "", "the new disk's serial number; * stands for anything")
	c.Flags().StringVar(&want.Disk.Transport, "disk-transport", "", "one of "+strings.Join(install.Transports, ", "))
	c.Flags().StringVar(&want.Wipe, "wipe", "", "the path of the new disk, to lose what it holds")
	c.Flags().BoolVar(&want.DryRun, "dry-run", false, "show the plan, write nothing")
	return c
}

// filled waits until a disk is filled, and says what is done meanwhile.
func filled(ctx context.Context, a *app.App, name string, s operator.HostDisks) error {
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	step := 0
	for {
		switch {
		case s.Failed != "" && s.Step == 0:
			return errors.New(s.Failed + "; when that is mended, the same command goes on with it")
		case s.State == storage.Whole:
			a.Say("the disks of host %s are whole", name)
			return showDisks(a, name, s)
		case s.Step > step && s.Step <= len(s.Steps):
			step = s.Step
			a.Say("%d of %d: %s", step, len(s.Steps), s.Steps[step-1])
		}
		if !run.Wait(ctx, leftEvery) {
			return app.WithCode(app.ExitTimeout, fmt.Errorf("host %s: the disk is not filled yet; it goes on: hnctl host disk show %s",
				name, name))
		}
		if now, err := app.Get[operator.HostDisks](ctx, a, disksPath(name)); err == nil {
			s = now
		}
	}
}

// metadata is what it takes and, of a host that says so, what more of it finds room.
func metadata(c scrub.Status) string {
	text := fmt.Sprintf("%d of %d MiB", c.Metadata.Used>>20, c.Metadata.Allotted>>20)
	if room := c.Room(); room >= 0 {
		text += fmt.Sprintf(", room for %d MiB more at most", room>>20)
	}
	return text
}

// health is what a disk says of itself, with its name.
func health(d smart.Health) string {
	about := strings.Join(strings.Fields(d.Model+" "+d.Serial), " ")
	if about == "" {
		return d.Line()
	}
	return about + ": " + d.Line()
}

func showDisks(a *app.App, name string, s operator.HostDisks) error {
	return a.Show(s, name, func(t *app.Table) {
		t.Fields("disks of "+name, s.Line())
		if len(s.Disks) > 0 {
			t.Head("DISK", "USE", "GIB", "MODEL", "SERIAL", "ERRORS", "NOTE")
		}
		for _, d := range s.Disks {
			t.Row(d.Path, string(d.Use), d.Bytes>>30, d.Model, d.Serial, d.Errors, d.Reason)
		}
		for _, d := range s.Health {
			t.Fields("health of "+d.Path, health(d))
		}
		for n, step := range s.Steps {
			t.Fields(fmt.Sprintf("%d", n+1), step)
		}
		for _, line := range app.NonEmpty(s.Systems, s.Failed) {
			t.Fields("lacks", line)
		}
		if c := s.Scrub; c != nil {
			t.Fields("scrub", c.Line(), "next", app.Stamp(c.Next))
			t.Fields("data", fmt.Sprintf("%d of %d MiB", c.Data.Used>>20, c.Data.Allotted>>20),
				"metadata", metadata(*c),
				"not allotted", fmt.Sprintf("%d MiB", c.Free>>20))
			t.Fields("balance", c.Balance())
			for _, line := range app.NonEmpty(c.Failed) {
				t.Fields("not looked after", line)
			}
		}
	})
}
