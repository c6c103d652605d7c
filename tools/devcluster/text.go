package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// announce says what is about to happen and what it costs.
func announce(d *display, o cluster.Options) {
	how := "KVM"
	if why := harness.Emulated(); why != "" {
		how = "software emulation (" + why + ")"
	}
	d.say(fmt.Sprintf("Hardnode demo: one infra appliance VM and %d user hosts under %s. Ctrl-C ends it.", o.Hosts, how))
	if _, err := os.Stat("out/image/vmlinuz"); err != nil {
		d.say(firstRun)
	}
}

// timingTable has one line for each phase.
func timingTable(list []cluster.Timing, all time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nTimes (begin, took)\n")
	for _, t := range list {
		fmt.Fprintf(&b, "  %6.1f s  %6.1f s  %s\n", t.Begin.Seconds(), t.Took.Seconds(), t.Phase)
	}
	fmt.Fprintf(&b, "  to the served page: %.1f s\n", all.Seconds())
	return b.String()
}

// farewell says where everything is and what to do next.
func farewell(c *cluster.Cluster, o cluster.Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nPanel   https://127.0.0.1:%d/    (token: %s; certificate: %s)\n", c.Ports.API, rel(c.TokenFile()), rel(c.RootCA()))
	fmt.Fprintf(&b, "Page    http://%s/    through the resolver at 127.0.0.1:%d\n\n", c.Host("hello"), c.Ports.Pages)
	fmt.Fprintf(&b, "  curl -H 'Host: %s' http://127.0.0.1:%d/\n", c.Host("hello"), c.Ports.Pages)
	if c.Ports.Secure != 0 {
		fmt.Fprintf(&b, "  hnctl cluster web-ca > web-ca.pem; curl --cacert web-ca.pem --connect-to ::127.0.0.1:%d https://%s/\n",
			c.Ports.Secure, c.Host("hello"))
	}
	fmt.Fprintf(&b, "\nForwarded ports of 127.0.0.1 to %s\n", c.Infra.Name)
	for _, f := range c.Ports.Table() {
		note := ""
		if !f.Usual {
			note = "   (its usual port was taken)"
		}
		fmt.Fprintf(&b, "  %5d → %-5d %s%s\n", f.Host, f.Guest, f.What, note)
	}
	fmt.Fprintf(&b, "\nState   %s%s\n", rel(c.Dir),
		map[bool]string{true: " (kept for the next run)", false: " (made anew by the next run; --keep keeps it)"}[o.Keep])
	fmt.Fprintf(&b, "Logs    serial consoles: %s\n", rel(c.Infra.Log()))
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "                         %s   (%s)\n", rel(h.Log()), h.Addr)
	}
	fmt.Fprintf(&b, "\nNext\n  %s\n", strings.Join(next(c), "\n  "))
	return b.String()
}

func next(c *cluster.Cluster) []string {
	env := c.HNCTLEnv()
	hnctl := filepath.Join("out/bin", "hnctl")
	return append([]string{"export " + strings.Join(env, " ")}, hnctl+" cluster status", hnctl+" host list", hnctl+" env show hello",
		hnctl+" env show jelastic", hnctl+" node list", "tail -f "+rel(c.Hosts[0].Log()))
}

// rel is path as seen from the working directory.
func rel(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(r, "..") {
			return r
		}
	}
	return path
}

// firstRun is said when nothing is built yet. The sizes are those of today's packages and go.sum; a module that is in the Go cache
// already isn't downloaded.
const firstRun = "First run: it downloads Debian's kernel and the image's packages (38 MB), the template nginx's packages (7 MB) and up " +
	"to 240 MB of Go modules,\nand compiles everything, which takes minutes; later runs reuse all of it."
