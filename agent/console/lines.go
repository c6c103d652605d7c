package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// maxLine keeps a line on one row of most terminals' scrollback without folding its end away.
const maxLine = 240

// mark begins the line of a problem.
const mark = "  ! "

// lines is the status as it is shown: one line on the host and the number of its problems, then one for each problem with its next step.
func lines(a *boot.AgentStatus, i *boot.Status) []string {
	var out []string
	if a != nil {
		out = append(out, summary(a))
		for _, p := range a.Problems {
			out = append(out, problem(p))
		}
	}
	out = append(out, problems(a, i)...)
	if n := len(out) - 1; a != nil && n > 0 {
		out[0] = clip(fmt.Sprintf("%s | problems: %d", out[0], n))
	}
	return out
}

// problems is what init knows of them: why the boot waits, and which services are not well.
func problems(a *boot.AgentStatus, i *boot.Status) (out []string) {
	if i == nil {
		return nil
	}
	if i.Problem != "" {
		out = append(out, clip(mark+i.Problem))
	}
	agent := agentOf(i)
	for _, s := range i.Services {
		if a == nil && s == agent && s.State == "starting" && s.Restarts == 0 {
			out = append(out, "the agent is starting")
		} else if s.State == "backoff" || a == nil && s == agent && s.State != "ready" {
			out = append(out, clip(mark+kept(s)))
		}
	}
	return out
}

// agentOf is the agent among init's services; on a host that waits for its configuration, what takes it. Without a name: none yet.
func agentOf(i *boot.Status) (out boot.ServiceStatus) {
	for _, s := range i.Services {
		if s.Name == "agent" || s.Name == "setup" && s.State != "stopped" && out.Name == "" {
			out = s
		}
	}
	return out
}

// kept is how a service is that is not well.
func kept(s boot.ServiceStatus) string {
	return fmt.Sprintf("service %s: %s, restarted %d times; %s", s.Name, s.State, s.Restarts, cmp.Or(s.LastExit, "no exit yet"))
}

// away is why the agent does not answer, as far as init knows.
func away(i *boot.Status) string {
	if i == nil {
		return "init does not answer either; ask again"
	}
	switch s := agentOf(i); {
	case s.Name == "":
		return clip(cmp.Or(i.Problem, "the boot has not come to it yet") + "; ask again")
	case s.State == "ready":
		return "it was ended a moment ago, or has too much to do; ask again"
	case s.State == "starting" && s.Restarts == 0:
		return "it is starting; ask again"
	default:
		return clip(kept(s) + "; ask again")
	}
}

// news is what of the lines is shown when those of last were shown before: nothing when they are the same, else all but the problems that
// are known already. Their number stands in the first line, so one that is over is seen too.
func news(last, now []string) (out []string) {
	if slices.Equal(last, now) {
		return nil
	}
	for n, l := range now {
		if n == 0 || !strings.HasPrefix(l, mark) || !slices.Contains(last, l) {
			out = append(out, l)
		}
	}
	return out
}

// summary is name, state, addresses, version, link and containers in one line.
func summary(a *boot.AgentStatus) string {
	parts := []string{fmt.Sprintf("[%s] %s", cmp.Or(a.Name, "unnamed"), state(a))}
	if a.Code != "" && (a.Stage != boot.StageJoined || !a.Linked) {
		parts = append(parts, "code "+a.Code)
	}
	if a.Unlicensed != "" {
		parts = append(parts, "UNLICENSED: "+a.Unlicensed)
	}
	parts = append(parts, cmp.Or(strings.Join(a.Addresses, " "), "no address"), "hardnode "+a.Version)
	if a.Stage == boot.StageJoined {
		parts = append(parts, "orchestrator: "+cmp.Or(a.Link, "not asked yet"))
	}
	if says := view.Release(a.System); says != "" {
		parts = append(parts, says)
	}
	return clip(strings.Join(append(parts, "containers: "+view.Count(*a)), " | "))
}

// beginning is a stage that only the console shows: there is a configuration, and the agent has not read it yet.
const beginning = boot.AgentStage("starting")

// configured corrects the status of an agent that has not read the configuration yet: there is one, for a host of this name.
func configured(a *boot.AgentStatus, name string) { a.Stage, a.Name = beginning, name }

// state is the host's state in words that are true now: what the orchestrator said last may be past while it is away, and a host that is
// not going to join is not joining. The link is said beside it only where it adds something.
func state(a *boot.AgentStatus) string {
	switch {
	case a.Stage == boot.StageUnconfigured:
		return "waiting for a configuration"
	case a.Stage == boot.StageRescue:
		return cmp.Or(a.State, "RESCUE SYSTEM")
	case a.Stage == beginning:
		return "STARTING"
	case a.Stage == boot.StageJoining && a.Link == "not joining":
		return "NOT JOINING"
	case a.Stage == boot.StageJoining && a.Link == boot.LinkWaiting:
		return "WAITING TO BE ADMITTED"
	case a.Stage == boot.StageJoining:
		return "JOINING"
	case a.State == "":
		return "JOINED"
	case !a.Linked:
		return a.State + " when last heard"
	}
	return a.State
}

func problem(p host.Problem) string {
	s := mark + p.Object + ": " + p.Reason
	if p.Next != "" {
		s += " -> " + p.Next
	}
	return clip(s)
}

// clip makes one printable line of s: what a container or a server put into a reason must not steer the terminal.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
	if rs := []rune(s); len(rs) > maxLine {
		s = string(slices.Concat(rs[:maxLine-3], []rune("...")))
	}
	return s
}
