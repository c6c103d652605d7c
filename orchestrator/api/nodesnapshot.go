package api

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/orchestrator/authz"
)

type takeSnapshotInput struct {
	CTID wire.CTID `path:"ctid" minimum:"1"`
	Body operator.NewSnapshot
}

type snapshotInput struct {
	CTID     wire.CTID `path:"ctid" minimum:"1"`
	Snapshot string    `path:"snapshot" maxLength:"40"`
}

type restoreSnapshotInput struct {
	CTID     wire.CTID `path:"ctid" minimum:"1"`
	Snapshot string    `path:"snapshot" maxLength:"40"`
	Body     operator.RestoreSnapshot
}

type pruneSnapshotsInput struct {
	CTID wire.CTID `path:"ctid" minimum:"1"`
	Body operator.PruneSnapshots
}

func (s *Server) snapshotOperations() {
	const path = "/nodes/{ctid}/snapshots"
	serve(s, route{"listSnapshots", "GET", path, "The snapshots of a node, the newest first", authz.Read, 200}, s.listSnapshots)
	serve(s, route{"takeSnapshot", "POST", path,
		"Take a snapshot of a node's own files and all its volumes, from one moment, for which it stands still", authz.Write, 201},
		s.takeSnapshot)
	serve(s, route{"pruneSnapshots", "POST", path + "/prune", "Delete a node's snapshots but those that a rule keeps", authz.Write, 200},
		s.pruneSnapshots)
	serve(s, route{"restoreSnapshot", "POST", path + "/{snapshot}/restore",
		"Have a node be as it was: it stops, what is there is kept as another snapshot, it starts again", authz.Write, 200},
		s.restoreSnapshot)
	serve(s, route{"deleteSnapshot", "DELETE", path + "/{snapshot}", "Delete a snapshot of a node", authz.Write, 200}, s.deleteSnapshot)
}

// snapshotWait is how long a host may take with snapshots: one waits for JEM, a restore for the end of the node's processes.
const snapshotWait = 3 * time.Minute

// snapshots has a node's host do what is asked; what, if not "", is how it is recorded.
func (s *Server) snapshots(ctx context.Context, c caller, id wire.CTID, ask snapshot.Ask, what string) (out operator.NodeSnapshots,
	err error) {
	n, ok := c.world().Node(id)
	if !ok {
		return out, noNode(id)
	}
	name := "nodes/" + id.String()
	if what != "" && scopeFor(c.world(), id) == authz.Platform {
		if p := s.allow(c, authz.Platform, name); p != nil {
			return out, p
		}
	}
	if err := ask.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, name, err.Error(), "see hnctl node snapshot list "+id.String())
	}
	if !c.world().Answers(n.Host) {
		return out, operator.NewProblem(operator.Unavailable, name, n.Reason, "wait for its host: hnctl host list")
	}
	do := func() (err error) {
		out.Answer, err = asksWithin[snapshot.Answer](ctx, s, operator.Host{ID: n.Host, Name: n.HostName},
			host.SessionRequest{CTID: id, Snapshots: &ask}, snapshotWait, name, "see hnctl node snapshot list "+id.String())
		return err
	}
	if what == "" {
		return out, do()
	}
	if ask.ID != "" {
		name += "/" + string(ask.ID)
	}
	return out, s.do(c, what, name, do)
}

func (s *Server) listSnapshots(ctx context.Context, c caller, in *nodeInput) (operator.NodeSnapshots, error) {
	return s.snapshots(ctx, c, in.CTID, snapshot.Ask{Action: snapshot.List}, "")
}

func (s *Server) takeSnapshot(ctx context.Context, c caller, in *takeSnapshotInput) (operator.NodeSnapshots, error) {
	return s.snapshots(ctx, c, in.CTID, snapshot.Ask{Action: snapshot.Take, Note: in.Body.Note, NoHook: in.Body.NoHook},
		"node.snapshot.take")
}

func (s *Server) restoreSnapshot(ctx context.Context, c caller, in *restoreSnapshotInput) (operator.NodeSnapshots, error) {
	ask := snapshot.Ask{Action: snapshot.Restore, ID: snapshot.ID(in.Snapshot), Only: in.Body.Volumes, From: in.Body.From}
	if ask.From == in.CTID {
		ask.From = 0
	}
	if ask.From != 0 {
		if err := s.mayTakeFrom(c, in.CTID, ask.From); err != nil {
			return operator.NodeSnapshots{}, err
		}
	}
	return s.snapshots(ctx, c, in.CTID, ask, "node.snapshot.restore")
}

// mayTakeFrom says why a node can't be given another one's snapshot, or nil.
func (s *Server) mayTakeFrom(c caller, id, from wire.CTID) error {
	n, ok := c.world().Node(id)
	if !ok {
		return noNode(id)
	}
	of, ok := c.world().Node(from)
	if !ok {
		return noNode(from)
	}
	name := "nodes/" + from.String()
	if scopeFor(c.world(), from) == authz.Platform {
		if p := s.allow(c, authz.Platform, name); p != nil {
			return p
		}
	}
	if of.Host != n.Host {
		return operator.NewProblem(operator.Conflict, name,
			fmt.Sprintf("its snapshots lie on host %s, and node %s is on %s", of.HostName, id, n.HostName),
			"choose a node of the same host: hnctl node list")
	}
	return nil
}

func (s *Server) deleteSnapshot(ctx context.Context, c caller, in *snapshotInput) (operator.NodeSnapshots, error) {
	return s.snapshots(ctx, c, in.CTID, snapshot.Ask{Action: snapshot.Delete, ID: snapshot.ID(in.Snapshot)}, "node.snapshot.delete")
}

func (s *Server) pruneSnapshots(ctx context.Context, c caller, in *pruneSnapshotsInput) (operator.NodeSnapshots, error) {
	what := "node.snapshot.prune"
	if in.Body.DryRun {
		what = ""
	}
	return s.snapshots(ctx, c, in.CTID, snapshot.Ask{Action: snapshot.Prune, Rule: in.Body.Rule, DryRun: in.Body.DryRun}, what)
}
