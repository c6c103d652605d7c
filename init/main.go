// Command init is PID 1 of a host.
//
// Owns: nothing itself; the boot, the services and the end are init/machine.
// In: the kernel, through stage 1.
// Out: never returns: a PID 1 that ends is a kernel panic.
// Never: is started by hand; as any other process it only says so (or is the exec helper of its own services).
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"hardnode.dev/init/machine"
	"hardnode.dev/init/reason"
	"hardnode.dev/init/supervise"
	"hardnode.dev/init/sys"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == supervise.ExecArg {
		fmt.Fprintf(os.Stderr, "init: %v\n", supervise.ExecHelper(os.Args[2:]))
		os.Exit(127)
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is PID 1 of a Hardnode host; the kernel starts it")
		os.Exit(2)
	}
	defer lastWords()
	debug.SetGCPercent(25) // a heap of a few hundred KiB: collecting often is cheap, memory on every host is not
	machine.New().Run()
}

// lastWords says what killed init, where the kernel's own panic message will follow, and gives a person time to read it.
func lastWords() {
	if p := recover(); p != nil {
		text := fmt.Sprintf("init: panic: %v\n%s", p, debug.Stack())
		fmt.Fprintln(os.Stderr, text)
		if k, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
			fmt.Fprintf(k, "<0>%s%v\n", reason.InitMark, p)
		}
		<-time.After(10 * time.Second)
	}
	if err := sys.Reboot(sys.Restart); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
