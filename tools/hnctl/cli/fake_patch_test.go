package cli

import (
	"encoding/json"
	"net/http"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// patching is a Patcher that knows release 1.1.0: its rollouts go on by a step each time somebody looks. One with the canary host-2 stops.
func (f *fake) patching(mux *http.ServeMux) {
	path := operator.Prefix + "/rollouts"
	mux.HandleFunc("POST "+operator.Prefix+"/components", func(w http.ResponseWriter, r *http.Request) {
		var want operator.NewComponent
		json.NewDecoder(r.Body).Decode(&want)
		if want.Release == "7.0.0" {
			refuse(w, operator.NotFound, "releases/"+want.Release, "no such release was imported", "see hnctl release list")
			return
		}
		ctid := map[string]wire.CTID{"patcher": 5, "metering": 9}[want.Name]
		reply(w, 200, operator.Component{Name: want.Name, CTID: ctid, HostName: "infra-1", State: "waiting", Release: want.Release})
	})
	var all []operator.Rollout // the newest first
	at := func(pattern string, h func(r *operator.Rollout, w http.ResponseWriter)) {
		method, rest, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+path+"/{rollout}"+rest, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for i := range all {
				if all[i].ID == r.PathValue("rollout") {
					h(&all[i], w)
					return
				}
			}
			refuse(w, operator.NotFound, "rollouts/"+r.PathValue("rollout"), "there is no such rollout", "see hnctl patch history")
		})
	}
	plan := func(w http.ResponseWriter, r *http.Request) (want operator.NewRollout, p operator.RolloutPlan, ok bool) {
		json.NewDecoder(r.Body).Decode(&want)
		if want.Release != "1.1.0" {
			refuse(w, operator.NotFound, "releases/"+want.Release, "no such release was imported", "see hnctl release list")
			return want, p, false
		}
		p = operator.RolloutPlan{Release: want.Release, Severity: "normal", Policy: want.Policy, Already: []string{"host-9"}, Seconds: 4000,
			Refused: []operator.RolloutRefusal{{Host: "h-3", Name: "host-3", Runs: "1.0.0", Reason: "it is not installed",
				Next: "install it"}},
			Warnings: []string{"host infra-1 runs the platform"},
			Cohorts: []operator.PlannedCohort{
				{SoakSec: 1800, Hosts: []operator.PlannedVisit{{Host: "h-1", Name: "host-1", Role: "user", Runs: "1.0.0",
					Kind: "reboot", Seconds: 90, Basis: "a usual host",
					Nodes: []operator.PlannedNode{{CTID: 101, Env: "hello", Layer: "cp", Fate: "stopped", OutageSec: 100,
						Why: "it has volumes"}}}}},
				{SoakSec: 900, Hosts: []operator.PlannedVisit{{Host: "h-0", Name: "infra-1", Role: "infra", Runs: "1.0.0", Kind: "reboot",
					Seconds: 90, Basis: "a usual host"}}}}}
		return want, p, true
	}
	mux.HandleFunc("POST "+path+"/plan", func(w http.ResponseWriter, r *http.Request) {
		if _, p, ok := plan(w, r); ok {
			reply(w, 200, p)
		}
	})
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		want, p, ok := plan(w, r)
		if !ok {
			return
		}
		if len(all) > 0 && !all[0].State.Final() {
			refuse(w, operator.Conflict, "rollouts/"+all[0].ID, "there is one at a time", "wait for its end: hnctl patch status")
			return
		}
		x := operator.Rollout{ID: "ro-" + string(rune('1'+len(all))), Release: "1.1.0", Severity: "normal", By: "admin",
			State: operator.RolloutRunning, Policy: want.Policy, Created: f.now, Updated: f.now, Cohort: 1, Cohorts: 2, LeftSec: p.Seconds,
			Refused: p.Refused, Visits: []operator.RolloutVisit{
				{Host: "h-1", Name: "host-1", Role: "user", Cohort: 1, From: "1.0.0", State: operator.VisitRunning, Step: "stage",
					Owner: "host", Detail: "fetching, 3 of 40 MiB"},
				{Host: "h-0", Name: "infra-1", Role: "infra", Cohort: 2, From: "1.0.0", State: operator.VisitPending}}}
		all = append([]operator.Rollout{x}, all...)
		reply(w, 201, x)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		reply(w, 200, operator.List[operator.Rollout]{Items: append([]operator.Rollout{}, all...)})
	})
	at("GET ", func(r *operator.Rollout, w http.ResponseWriter) {
		if v := &r.Visits[0]; r.State == operator.RolloutRunning && r.Policy.Canary == "host-2" {
			v.State, v.Reason, v.Step = operator.VisitBack, "the agent was not ready", "back"
			r.State, r.Ended, r.Reason = operator.RolloutStopped, f.now, "host host-1, step switch: the agent was not ready"
			r.Symptom = &operator.RolloutSymptom{At: f.now, Host: "h-1", Name: "host-1", What: "the agent was not ready"}
		} else if r.State == operator.RolloutRunning && v.State == operator.VisitDone {
			r.State, r.Progress, r.Cohort, r.Ended, r.Visits[1].State = operator.RolloutDone, 100, 2, f.now, operator.VisitDone
		} else if r.State == operator.RolloutRunning {
			v.State, v.Step, v.Owner, v.Detail, v.TookSec, r.Progress = operator.VisitDone, "", "", "", 47.2, 50
		}
		reply(w, 200, r)
	})
	at("GET /report", func(r *operator.Rollout, w http.ResponseWriter) {
		reply(w, 200, operator.RolloutReport{Rollout: r.ID, Release: r.Release, State: r.State, Longest: 41.5, Total: 41.5,
			Hosts: []operator.HostOutage{{Host: "h-1", Name: "host-1", State: operator.VisitDone, ExpectSec: 90, TookSec: 47.2}},
			Nodes: []operator.NodeOutage{{CTID: 101, Env: "hello", Layer: "cp", Host: "host-1", From: f.now, To: f.now, Seconds: 41.5,
				Cause: "its host boots the release"}}})
	})
	for verb, state := range map[string]operator.RolloutState{"pause": operator.RolloutPaused, "resume": operator.RolloutRunning,
		"abort": operator.RolloutAborted} {
		at("POST /"+verb, func(r *operator.Rollout, w http.ResponseWriter) {
			if r.State.Final() {
				refuse(w, operator.Conflict, "rollouts/"+r.ID, "it is "+string(r.State)+", and can't be changed", "see hnctl patch status")
				return
			}
			r.State = state
			reply(w, 200, r)
		})
	}
}
