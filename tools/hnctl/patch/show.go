package patch

import (
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// span is seconds as people say them.
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", seconds)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", (seconds+30)/60)
	}
	return fmt.Sprintf("%d h %02d min", seconds/3600, seconds%3600/60)
}

// summary is how many hosts and components of the platform a plan patches, and how many nodes it stops.
func summary(p operator.RolloutPlan) (hosts, components, stopped int) {
	for _, c := range p.Cohorts {
		for _, v := range c.Hosts {
			if v.Component != "" {
				components++
			} else {
				hosts++
			}
			for _, n := range v.Nodes {
				if n.Fate == "stopped" {
					stopped++
				}
			}
		}
	}
	return hosts, components, stopped
}

func showPlan(a *app.App, p operator.RolloutPlan) error {
	hosts, components, stopped := summary(p)
	return a.Show(p, p.Release, func(t *app.Table) {
		t.Fields("release", p.Release, "severity", p.Severity, "hosts", fmt.Sprintf("%d in %d cohorts, %d at once", hosts, len(p.Cohorts),
			p.Policy.Away), "components", components, "nodes stopped", stopped, "takes about", span(p.Seconds), "run it already",
			strings.Join(p.Already, " "))
		for _, w := range p.Warnings {
			t.Fields("note", w)
		}
		if len(p.Cohorts) > 0 {
			t.Gap()
			t.Head("COHORT", "HOST", "RUNS", "KIND", "AWAY", "NODES", "SOAK", "AWAY BY")
			for i, c := range p.Cohorts {
				for _, v := range c.Hosts {
					t.Row(i+1, v.Name, v.Runs, v.Kind, span(v.Seconds), len(v.Nodes), span(c.SoakSec), v.Basis)
				}
			}
			t.Gap()
			t.Head("NODE", "ENV", "LAYER", "HOST", "FATE", "OUTAGE", "WHY")
			for _, c := range p.Cohorts {
				for _, v := range c.Hosts {
					for _, n := range v.Nodes {
						name := n.CTID.String()
						if n.Component != "" {
							name = n.Component
						}
						t.Row(name, n.Env, n.Layer, v.Name, n.Fate, span(n.OutageSec), n.Why)
					}
				}
			}
		}
		refusals(t, p.Refused)
	})
}

func refusals(t *app.Table, list []operator.RolloutRefusal) {
	if len(list) == 0 {
		return
	}
	t.Gap()
	t.Head("NOT PATCHED", "RUNS", "WHY", "NEXT")
	for _, r := range list {
		t.Row(r.Name, r.Runs, r.Reason, r.Next)
	}
}

func fillRollout(t *app.Table, r operator.Rollout, now time.Time) {
	t.Fields("rollout", r.ID, "release", r.Release, "severity", r.Severity, "by", r.By, "state", r.State, "why", r.Reason)
	if s := r.Symptom; s != nil {
		t.Fields("first sign", strings.Join(app.NonEmpty(app.Stamp(s.At), s.Name, s.What), " "))
	}
	t.Fields("began", app.Stamp(r.Created), "ended", app.Stamp(r.Ended))
	t.Fields("progress", bar(r.Progress)+left(r))
	t.Fields("cohort", fmt.Sprintf("%d of %d", r.Cohort, r.Cohorts))
	t.Gap()
	t.Head("COHORT", "HOST", "FROM", "STATE", "STEP", "OWNER", "DUE", "AWAY", "NOTE")
	for _, v := range r.Visits {
		due, away := "", ""
		if !v.Deadline.IsZero() {
			due = span(max(0, int64(v.Deadline.Sub(now)/time.Second)))
		}
		if v.TookSec > 0 {
			away = fmt.Sprintf("%.0f s", v.TookSec)
		}
		t.Row(v.Cohort, v.Name, v.From, v.State, v.Step, v.Owner, due, away, strings.Join(app.NonEmpty(v.Detail, v.Reason), "; "))
	}
	refusals(t, r.Refused)
}

func fillReport(t *app.Table, r operator.RolloutReport) {
	t.Fields("rollout", r.Rollout, "release", r.Release, "state", r.State, "longest outage", fmt.Sprintf("%.1f s", r.Longest),
		"all outages", fmt.Sprintf("%.1f s", r.Total))
	t.Gap()
	t.Head("HOST", "STATE", "EXPECTED AWAY", "AWAY")
	for _, h := range r.Hosts {
		t.Row(h.Name, h.State, span(h.ExpectSec), fmt.Sprintf("%.1f s", h.TookSec))
	}
	if len(r.Nodes) == 0 {
		return
	}
	t.Gap()
	t.Head("NODE", "ENV", "LAYER", "HOST", "OUTAGE", "FROM", "CAUSE")
	for _, n := range r.Nodes {
		out := fmt.Sprintf("%.1f s", n.Seconds)
		if n.To.IsZero() {
			out += ", not over"
		}
		t.Row(n.CTID, n.Env, n.Layer, n.Host, out, app.Stamp(n.From), n.Cause)
	}
}

// barWidth is the bar's, in characters.
const barWidth = 30

func bar(percent int) string {
	n := min(max(0, percent), 100) * barWidth / 100
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + fmt.Sprintf("] %3d %%", percent)
}

// left is the time that is expected to be left, for people.
func left(r operator.Rollout) string {
	if r.State.Final() || r.State == operator.RolloutStopping {
		return ""
	}
	return ", about " + span(r.LeftSec) + " left"
}

// line is a rollout in one line.
func line(r operator.Rollout) string {
	text := fmt.Sprintf("%s %s%s  %s", r.Release, bar(r.Progress), left(r), r.State)
	if !r.State.Final() {
		text += fmt.Sprintf(", cohort %d of %d", r.Cohort, r.Cohorts)
	}
	if under := visiting(r); under != "" {
		return text + "  " + under
	}
	if r.Reason != "" {
		text += "  " + r.Reason
	}
	return text
}

// visiting is the visits under way.
func visiting(r operator.Rollout) string {
	var out []string
	for _, v := range r.Visits {
		if v.State == operator.VisitRunning || v.State == operator.VisitGoing {
			out = append(out, strings.Join(app.NonEmpty(v.Name+" "+v.Step, v.Detail), ": "))
		}
	}
	return strings.Join(out, "; ")
}
