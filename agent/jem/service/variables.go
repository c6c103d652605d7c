package service

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/run"
)

// SetVariables has systemd give variables, NAME=VALUE, to what it starts from now on, until the container's next boot. said is what
// systemctl wrote.
func SetVariables(ctx context.Context, root string, list []string) (said string, err error) {
	return systemctl(ctx, root, append([]string{"set-environment", "--"}, list...)...)
}

// UnsetVariables has systemd give variables to nothing that it starts from now on. It forgets those that it was told while it ran, but not
// those that its configuration said when it began, DefaultEnvironment of systemd-system.conf(5): for these it executes itself anew, which
// ends nothing.
func UnsetVariables(ctx context.Context, root string, names []string) (said string, err error) {
	if said, err = systemctl(ctx, root, append([]string{"unset-environment", "--"}, names...)...); err != nil {
		return said, err
	}
	left, err := variables(ctx, root)
	if err != nil || !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(left, n) }) {
		return said, err
	}
	if said, err = systemctl(ctx, root, "daemon-reexec"); err != nil {
		return said, err
	}
	for tries := 0; ; tries++ { // it listens a moment later
		if _, err = variables(ctx, root); err == nil || tries == 50 || !run.Wait(ctx, 200*time.Millisecond) {
			return said, err
		}
	}
}

// variables are the names of those that systemd gives to what it starts now.
func variables(ctx context.Context, root string) (names []string, err error) {
	var out bytes.Buffer
	if _, err := program.Run(ctx, program.Command{Path: program.Find(root, "systemctl"), Args: []string{"show-environment"}, Dir: "/",
		Out: &out}); err != nil {
		return nil, err
	}
	for line := range strings.Lines(out.String()) {
		if name, _, ok := strings.Cut(line, "="); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

func systemctl(ctx context.Context, root string, args ...string) (said string, err error) {
	return program.Run(ctx, program.Command{Path: program.Find(root, "systemctl"), Args: args, Dir: "/"})
}
