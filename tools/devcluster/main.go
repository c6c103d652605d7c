// Command devcluster is `make demo`: a whole cluster in QEMU on this machine, from nothing to a served page.
//
// Owns: the flags, the display and the farewell; the work is in qemu-tests/cluster.
// In: flags; Ctrl-C.
// Out: progress, then where everything is; exit status 0 when ended by Ctrl-C after a success, 130 when before it, 1 when something failed,
// 2 for usage.
// Never: leaves a virtual machine running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/cluster"
)

func main() {
	o := cluster.Options{}
	once := flag.Bool("once", false, "end as soon as the page is served (a check for scripts)")
	flag.StringVar(&o.Dir, "dir", "out/demo", "`folder` for state, disks and logs")
	flag.IntVar(&o.Hosts, "hosts", 2, "how many user hosts to boot")
	flag.IntVar(&o.Seats, "seats", 0, "how many user hosts the licence allows; 0 is as many as there are")
	flag.BoolVar(&o.Keep, "keep", false, "keep the state for the next run, and go on with what the last one kept")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(),
			"usage: devcluster [flags]\n\nBoots one infra appliance VM and user hosts in QEMU and serves a page from containers.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := check(o, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "devcluster: %v; see -help\n", err)
		os.Exit(2)
	}
	ctx, stop := run.UntilSignal(context.Background())
	err := demo(ctx, o, *once)
	stop()
	switch {
	case errors.Is(err, run.ErrSignal):
		fmt.Fprintf(os.Stderr, "\ndevcluster: ended before the page was served: %v; nothing is left running\n", err)
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\ndevcluster: %v\n", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, o cluster.Options, once bool) error {
	d := newDisplay(os.Stdout)
	defer d.close()
	if err := enough(o); err != nil {
		return err
	}
	announce(d, o)
	o.Progress = d.progress
	c, err := cluster.Start(ctx, o)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if errors.Is(err, cluster.ErrTaken) {
			return err // the state and logs there belong to the other one
		}
		return fmt.Errorf("%w\nstate and logs: %s", err, o.Dir)
	}
	d.close()
	fmt.Print(timingTable(c.Timings(), c.Elapsed()), farewell(c, o))
	if !once {
		c.Watch(ctx, func(err error) { fmt.Printf("\n%v\nThe others go on; end the demo with Ctrl-C to start anew.\n", err) })
		<-ctx.Done()
		fmt.Println("\nending the virtual machines …")
	}
	if err := c.Close(); err != nil {
		return err
	}
	fmt.Println("nothing is left running.")
	return nil
}
