package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

func (f *fake) environments(mux *http.ServeMux) {
	mux.HandleFunc("GET "+operator.Prefix+"/environments", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var out []operator.Environment
		for _, e := range f.envs {
			if trash := r.URL.Query().Get("trash") == "true"; trash == (e.Trash != nil) {
				out = append(out, e)
			}
		}
		reply(w, 200, operator.List[operator.Environment]{Items: out})
	})
	mux.HandleFunc("GET "+operator.Prefix+"/environments/{env}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if e, ok := f.envs[wire.EnvName(r.PathValue("env"))]; ok {
			reply(w, 200, e)
			return
		}
		refuse(w, operator.NotFound, "environments/"+r.PathValue("env"), "there is no such environment", "see hnctl env list")
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments", func(w http.ResponseWriter, r *http.Request) {
		var s operator.EnvironmentSpec
		json.NewDecoder(r.Body).Decode(&s)
		if r.URL.Query().Get("dry_run") == "true" {
			reply(w, 200,
				operator.Accepted{Plan: []operator.Node{{Layer: "cp", Template: "nginx", HostName: "host-1", Placed: "best fit"}}})
			return
		}
		if s.Layers[0].Template == "nosuch" {
			refuse(w, operator.NotFound, "layers[0].template", `template "nosuch" is not in the registry`, "see hnctl template list")
			return
		}
		f.mu.Lock()
		_, taken := f.envs[s.Name]
		taken = taken && f.seen[r.Header.Get("Idempotency-Key")] == ""
		f.mu.Unlock()
		if taken {
			refuse(w, operator.Conflict, "environments/"+string(s.Name), "the name is taken", "choose another name")
			return
		}
		if s.Name == "failed" && r.URL.Query().Get("undo") != "true" {
			f.mu.Lock()
			f.envs[s.Name] = operator.Environment{Spec: s, State: operator.EnvBroken,
				Failed: &operator.FailedCreate{At: f.now, Reason: "no host has room", Removal: f.now.AddDate(0, 0, 7)}}
			f.mu.Unlock()
		}
		f.accept(w, r, "env.create", s.Name, func() {
			f.envs[s.Name] = operator.Environment{Spec: s, State: operator.EnvRunning, Domain: string(s.Name) + ".demo.test", Revision: 1}
		})
	})
	mux.HandleFunc("PUT "+operator.Prefix+"/environments/{env}", func(w http.ResponseWriter, r *http.Request) {
		var s operator.EnvironmentSpec
		json.NewDecoder(r.Body).Decode(&s)
		f.mu.Lock()
		e, there := f.envs[s.Name]
		f.mu.Unlock()
		switch q := r.URL.Query(); {
		case q.Get("dry_run") == "true" && s.Layers[0].Template == "away":
			refuse(w, operator.Unavailable, "registry", "it does not answer", "try again")
		case q.Get("dry_run") == "true" && s.Layers[0].Nodes == 1 && reflect.DeepEqual(e.Spec, s):
			reply(w, 200, operator.Accepted{Edit: &operator.EditPlan{Steps: []operator.EditStep{}}})
		case q.Get("dry_run") == "true" && !there:
			reply(w, 200, operator.Accepted{Plan: []operator.Node{{Layer: "cp", Template: "nginx", HostName: "host-1"}}})
		case s.Layers[0].Nodes == 1 && q.Get("remove_data") != "true":
			refuse(w, operator.Conflict, "layers[0].nodes", "node 101 of layer cp would go, with the data of its 1 volumes",
				"keep the node, or say that its data may go: --remove-data")
		case q.Get("dry_run") == "true" && there && len(s.Layers[0].Firewall) > 0:
			step := operator.EditStep{Kind: operator.EditChange, Layer: "cp", Outage: operator.OutageNone,
				Fields: []string{"/layers/0/firewall"}, Detail: "rules of layer cp: 1 added (" + s.Layers[0].Firewall[0].Name + ")"}
			reply(w, 200, operator.Accepted{Edit: &operator.EditPlan{Steps: []operator.EditStep{step}}})
		case q.Get("dry_run") == "true" && there:
			step := operator.EditStep{Kind: operator.EditResize, Layer: "cp", Node: 1, CTID: 100, Outage: operator.OutageNone,
				Fields: []string{"/layers/0/cloudlets"}, Detail: "cloudlets 1/4 → 2/8"}
			reply(w, 200, operator.Accepted{Edit: &operator.EditPlan{Steps: []operator.EditStep{step}}})
		default:
			f.accept(w, r, "env.edit", s.Name, func() {
				e.Spec, e.State, e.Domain = s, operator.EnvRunning, string(s.Name)+".demo.test"
				f.envs[s.Name] = e
			})
		}
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/rename", func(w http.ResponseWriter, r *http.Request) {
		name, in := wire.EnvName(r.PathValue("env")), operator.RenameEnvironment{}
		json.NewDecoder(r.Body).Decode(&in)
		f.mu.Lock()
		defer f.mu.Unlock()
		e, ok := f.envs[name]
		switch _, taken := f.envs[in.Name]; {
		case !ok:
			refuse(w, operator.NotFound, "environments/"+string(name), "there is no such environment", "see hnctl env list")
			return
		case taken:
			refuse(w, operator.Conflict, "environments/"+string(in.Name), "the name is taken", "choose another name")
			return
		case e.State != operator.EnvDown:
			refuse(w, operator.Conflict, "environments/"+string(name), "it is to run", "stop it first: hnctl env stop "+string(name))
			return
		}
		delete(f.envs, name)
		e.Spec.Name, e.Domain = in.Name, string(in.Name)+".demo.test"
		f.envs[in.Name] = e
		reply(w, 200, e)
	})
	mux.HandleFunc("PUT "+operator.Prefix+"/environments/{env}/group", func(w http.ResponseWriter, r *http.Request) {
		name, in := wire.EnvName(r.PathValue("env")), operator.EnvironmentGroup{}
		json.NewDecoder(r.Body).Decode(&in)
		f.mu.Lock()
		defer f.mu.Unlock()
		e, ok := f.envs[name]
		if !ok {
			refuse(w, operator.NotFound, "environments/"+string(name), "there is no such environment", "see hnctl env list")
			return
		}
		e.Group = in.Group
		f.envs[name] = e
		reply(w, 200, e)
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/keep", func(w http.ResponseWriter, r *http.Request) {
		name := wire.EnvName(r.PathValue("env"))
		f.mu.Lock()
		defer f.mu.Unlock()
		e, ok := f.envs[name]
		if !ok || e.Failed == nil {
			refuse(w, operator.Conflict, "environments/"+string(name), "its creation did not fail: it stays as it is",
				"nothing is to be done")
			return
		}
		kept := *e.Failed
		kept.Kept, kept.Removal = true, time.Time{}
		e.Failed = &kept
		f.envs[name] = e
		reply(w, 200, e)
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/restart", func(w http.ResponseWriter, r *http.Request) {
		var in operator.RestartEnvironment
		json.NewDecoder(r.Body).Decode(&in)
		if in.Layer == "nosuch" {
			refuse(w, operator.NotFound, "layer", `the environment has no layer "nosuch"`, "see hnctl env show hello")
			return
		}
		name := wire.EnvName(r.PathValue("env"))
		f.accept(w, r, "env.restart", name, func() {
			e := f.envs[name]
			e.Reason = fmt.Sprintf("restarted: %+v", in)
			f.envs[name] = e
		})
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/redeploy", func(w http.ResponseWriter, r *http.Request) {
		var in operator.RedeployEnvironment
		json.NewDecoder(r.Body).Decode(&in)
		name := wire.EnvName(r.PathValue("env"))
		if in.Layers[0].Name == "nosuch" {
			refuse(w, operator.NotFound, "layers[0].name", `environment hello has no layer "nosuch"`, "see hnctl env show hello")
			return
		}
		if r.URL.Query().Get("dry_run") == "true" {
			plan := operator.EditPlan{Steps: []operator.EditStep{{Kind: operator.EditRedeploy, Layer: in.Layers[0].Name, Node: 1, CTID: 100,
				Detail: string(in.Layers[0].Template), Outage: operator.OutageRestart, Fields: []string{"/layers/0/template"}}}}
			reply(w, 200, operator.Accepted{Edit: &plan})
			return
		}
		f.accept(w, r, "env.edit", name, func() {
			e := f.envs[name]
			e.Reason = fmt.Sprintf("redeployed: %+v", in)
			f.envs[name] = e
		})
	})
	for _, verb := range []string{"trash", "restore"} {
		mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			name := wire.EnvName(r.PathValue("env"))
			f.accept(w, r, "env."+verb, name, func() {
				e := f.envs[name]
				if e.Trash, e.State = nil, operator.EnvRunning; verb == "trash" {
					e.Trash, e.State = &operator.Trash{At: f.now, Until: f.now.AddDate(0, 0, 7), By: "admin"}, operator.EnvDown
				}
				f.envs[name] = e
			})
		})
	}
	for method, path := range map[string]string{"POST": "/environments/{env}/stop", "DELETE": "/environments/{env}"} {
		mux.HandleFunc(method+" "+operator.Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			name := wire.EnvName(r.PathValue("env"))
			f.accept(w, r, "env."+strings.ToLower(method), name, func() {
				if e := f.envs[name]; method == "POST" {
					e.State = operator.EnvDown
					f.envs[name] = e
				} else {
					delete(f.envs, name)
				}
			})
		})
	}
	mux.HandleFunc("GET "+operator.Prefix+"/operations", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var out []operator.Operation
		for _, o := range f.ops {
			out = append(out, o)
		}
		for _, o := range f.imports {
			out = append(out, o)
		}
		kind, env := r.URL.Query().Get("kind"), r.URL.Query().Get("env")
		out = slices.DeleteFunc(out, func(o operator.Operation) bool {
			return kind != "" && o.Kind != kind || env != "" && o.Object != "environments/"+env
		})
		reply(w, 200, operator.List[operator.Operation]{Items: out})
	})
	mux.HandleFunc("GET "+operator.Prefix+"/operations/{op}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if o, ok := f.operation(wire.OperationID(r.PathValue("op"))); ok {
			reply(w, 200, o)
			return
		}
		refuse(w, operator.NotFound, "operations/"+r.PathValue("op"), "there is no such operation", "see hnctl op list")
	})
	mux.HandleFunc("GET "+operator.Prefix+"/operations/{op}/events", f.events)
	mux.HandleFunc("POST "+operator.Prefix+"/operations/{op}/cancel", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, operator.Conflict, "operations/"+r.PathValue("op"), "import can't be cancelled",
			"wait for it: hnctl op watch "+r.PathValue("op"))
	})
}

func (f *fake) accept(w http.ResponseWriter, r *http.Request, kind string, env wire.EnvName, effect func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		refuse(w, operator.Invalid, "Idempotency-Key", "is missing", "")
		return
	}
	if id, ok := f.seen[key]; ok {
		op := f.ops[id]
		reply(w, 202, operator.Accepted{Operation: &op})
		return
	}
	id := wire.OperationID(fmt.Sprintf("op-%016x", len(f.ops)+1))
	op := operator.Operation{ID: id, Kind: kind, Object: "environments/" + string(env), State: operator.OpRunning, By: "admin",
		Created: f.now, Steps: []operator.Step{{Name: "place", State: operator.OpRunning}}}
	f.ops[id], f.seen[key] = op, id
	if !strings.HasPrefix(string(env), "fail") && env != "slow" {
		effect()
	}
	if env == "lost" { // taken, and the answer gets lost
		panic(http.ErrAbortHandler)
	}
	reply(w, 202, operator.Accepted{Operation: &op})
}
