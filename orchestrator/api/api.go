// Package api is the orchestrator's side of /api/v1: TCP 7443, TLS, bearer tokens.
//
// Owns: the operations of the API, their OpenAPI description, how errors look (problem+json with a closed list of codes).
// In: requests of people's tools; views of the store and the hosts.
// Out: wire/operator resources; accepted operations; bridged sessions.
// Never: changes the store itself (ops and authz do), decides placing, or shows an internal error's text.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/audit"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/certify"
	"hardnode.dev/orchestrator/components"
	"hardnode.dev/orchestrator/domains"
	"hardnode.dev/orchestrator/door"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/pxe"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/session"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/systems"
	"hardnode.dev/orchestrator/users"
	"hardnode.dev/orchestrator/world"
	"hardnode.dev/orchestrator/zones"
)

// Server is all the API needs.
type Server struct {
	Store  *store.Store
	Ops    *ops.Ops
	Tokens *authz.Tokens
	// Accounts is who owns environments, and what each may have.
	Accounts *accounts.Desk
	Domains  *domains.Desk // the host names of environments
	Users    *users.Desk   // who signs in
	Shares   *shares.Desk  // which environments are shared with other accounts
	Secrets  sealed.Variables
	Mail     *mail.Desk    // what the cluster sends mail by
	IDP      *idp.Desk     // whom users sign in with beside their password
	Certify  *certify.Desk // whom certificates are asked of
	Zones    *zones.Desk   // the cluster's domain in the DNS
	Audit    *audit.Log
	World    func(wire.Account) world.World // what an account sees now
	// DryRun places a new environment of an account without storing anything.
	DryRun func(wire.Account, operator.EnvironmentSpec) ([]operator.Node, *operator.Problem)
	// DryRunEdit places what an edit of an environment of an account adds.
	DryRunEdit func(wire.Account, operator.EnvironmentSpec) ([]operator.Node, *operator.Problem)
	// Leaving says how each node of a user would leave a host that were drained.
	Leaving func(id wire.HostID, stop, noMove bool) []operator.DrainNode
	// Target is the host that a node would move to, "" being asked for: the best one; and why that or why not.
	Target func(id wire.CTID, asked wire.HostID) (wire.HostID, string, *operator.Problem)
	// RefreshTemplates asks the registry for its list, when a template is not known yet; nil: it is not asked.
	RefreshTemplates func(context.Context) error
	// Imports are the pushed names that are not imported (yet); nil: there are none.
	Imports func() []host.Import
	// LookImports asks the registry for its imports, so that what was pushed a moment ago is an operation; nil: it is not asked.
	LookImports func(context.Context)
	// ShowTemplate is all that is known of a template.
	ShowTemplate func(account wire.Account, name string) (operator.TemplateDetail, error)
	// TagTemplate gives a template another tag.
	TagTemplate func(ctx context.Context, account wire.Account, name string, q operator.TagTemplate) (operator.TemplateDetail, error)
	// DeleteTemplate removes a template that nobody uses, CollectTemplates what no template needs.
	DeleteTemplate   func(ctx context.Context, account wire.Account, name string) (host.Freed, error)
	CollectTemplates func(context.Context) (host.Freed, error)
	// License takes another licence in.
	License interface {
		Install(ctx context.Context, text string) error
	}
	// RotateGossip begins to replace the gossip key.
	RotateGossip func(ctx context.Context, by string) error
	Releases     Releases
	Netboot      *pxe.Desk
	Rollouts     Rollouts
	Metering     Metering
	Errors       func() (jls.ErrorReport, error) // of the platform's own programs, that wait
	Systems      *systems.Desk                   // of which release each host's system shall be
	Enroll       *enroll.Desk
	Guesses      *authz.Guesses // slows down wrong tokens; nil: nobody does
	Metrics      http.Handler   // of /metrics
	Hub          *session.Hub
	Log          *slog.Logger

	Components *components.Desk // which version of each component of the platform shall run

	reading   readers // of access logs
	exporting exports
	door      *door.Door
	api       huma.API
	templates sync.RWMutex // held for reading while an environment is created, for writing while a template is deleted
}

// caller is who asks, from where, and what of the cluster they see.
type caller struct {
	authz.Who
	from  string
	world func() world.World // at this moment
	guest *guest             // who they are, in another account's environment; nil: it is not about one
}

type callerKey struct{}

// caller is who asks: the door let them in and noted it in ctx.
func (s *Server) caller(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// allow is nil when the caller has the scope, and their account may use it now: one that is suspended reads only.
func (s *Server) allow(c caller, scope authz.Scope, object string) *operator.Problem {
	if p := c.Require(scope, object); p != nil || scope == authz.Read {
		return p
	}
	return s.Accounts.Works(c.Account, object)
}

// do audits an action around its effect.
func (s *Server) do(c caller, what, object string, effect func() error) error {
	return s.Audit.Do(c.record(what, object), effect)
}

// doOf is do of something of an account: where those who run the cluster do it, that account's record has it too.
func (s *Server) doOf(c caller, of wire.Account, what, object string, effect func() error) error {
	return s.Audit.Do(c.recordOf(of, what, object), effect)
}

// Handler is the API, everything below /api/, and /openapi.json and /metrics.
func (s *Server) Handler() http.Handler {
	mux, held := http.NewServeMux(), map[string]bool{}
	s.register(mux)
	for _, path := range openPaths() {
		held["GET "+path] = true
	}
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		c := s.caller(r.Context())
		if p := cmp.Or(c.Require(authz.Metrics, r.URL.Path), c.RequireCluster(r.URL.Path)); p != nil {
			operator.WriteProblem(w, p)
			return
		}
		s.Metrics.ServeHTTP(w, r)
	})
	// What the API is like is no secret.
	open := map[string]bool{"POST " + operator.Prefix + "/sessions": true, "POST " + operator.Prefix + "/sessions/oidc": true,
		"GET " + operator.Prefix + "/sign-in": true}
	s.door = &door.Door{Routes: mux, Public: "/openapi", Held: held, Open: open, Tokens: s.Tokens, Guesses: s.Guesses,
		Enter: s.enter, Log: s.Log}
	return s.door.Handler()
}

// Admit lets a request in that is none of the API's, within the same limits. It comes after Handler.
func (s *Server) Admit(w http.ResponseWriter, r *http.Request, who authz.Who) (leave func(), p *operator.Problem) {
	return s.door.Admit(w, r, who)
}

// enter notes who asks, for the endpoints.
func (s *Server) enter(ctx context.Context, who authz.Who, from string) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{Who: who, from: from,
		world: func() world.World { return s.World(who.Account).Within(who.Envs) }})
}

// Description is the API's OpenAPI 3.1 document.
func Description() ([]byte, error) {
	s := &Server{}
	s.register(http.NewServeMux())
	return json.MarshalIndent(s.api.OpenAPI(), "", "  ")
}

func (s *Server) register(mux *http.ServeMux) {
	c := huma.DefaultConfig("Hardnode", "1")
	c.CreateHooks = nil // no $schema links in bodies: resources are what wire/operator says
	c.DocsPath, c.SchemasPath = "", ""
	c.RejectUnknownQueryParameters = true
	c.Info.Description = "The API of a Hardnode cluster. Long work is an operation: 202 with its Location, watchable at …/events. " +
		"Errors are application/problem+json (RFC 9457) with one of the codes " +
		"invalid, not_found, conflict, denied, exhausted, unavailable, internal; detail says why, next what to do."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Servers = []*huma.Server{{URL: "/", Description: "The cluster the description was read from"}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	s.api = humago.New(mux, c)
	s.operations()
	s.watchOperation()
	s.accountExport()
	s.sessionOperations(mux)
	s.hostLogOperation(mux)
	s.accessLogOperation(mux)
	s.hostBackupOperation(mux)
	s.hostDocumentOperations(mux)
}

// operations is the table of all that is asked and answered; what is held open, sessions and watches, registers itself.
func (s *Server) operations() {
	serve(s, route{"getCluster", "GET", "/cluster", "The installation as a whole", authz.Read, 200}, s.getCluster)
	serve(s, route{"rotateGossipKey", "POST", "/cluster/rotate-gossip-key", "Replace the key that hosts' gossip is encrypted with",
		authz.Admin, 202}, s.rotateGossipKey)
	serve(s, route{"getNetboot", "GET", "/cluster/netboot", "How machines boot from the network", authz.Read, 200}, s.getNetboot)
	serve(s, route{"enableNetboot", "PUT", "/cluster/netboot",
		"Have the infra host boot machines over the network, beside a site's own DHCP server; again with other wishes changes it",
		authz.Admin, 200}, s.enableNetboot)
	serveWith(s, route{"disableNetboot", "DELETE", "/cluster/netboot", "Boot no machines over the network any more", authz.Admin, 204},
		s.disableNetboot)
	serve(s, route{"getVersion", "GET", "/version", "The orchestrator's version", authz.Read, 200}, s.getVersion)
	serve(s, route{"listErrors", "GET", "/errors", "The errors of the platform's own programs, the like ones together: those that were " +
		"not told yet to who makes it", authz.Read, 200}, s.listErrors)
	serve(s, route{"getLicense", "GET", "/license", "The licence, and what is used of it", authz.Read, 200}, s.getLicense)
	serve(s, route{"setLicense", "PUT", "/license", "Install another licence", authz.Admin, 200}, s.setLicense)

	serve(s, route{"listHosts", "GET", "/hosts", "All hosts, in order of joining", authz.Read, 200}, s.listHosts)
	serve(s, route{"getHost", "GET", "/hosts/{host}", "One host, by id or name", authz.Read, 200}, s.getHost)
	serveWith(s, route{"removeHost", "DELETE", "/hosts/{host}",
		"Remove a host that is off for good, by id or name; its nodes are made anew elsewhere", authz.Admin, 204}, s.removeHost)
	serve(s, route{"rebootHost", "POST", "/hosts/{host}/reboot",
		"Have a host stop its containers and boot anew; it is answered once the host has begun", authz.Patch, 202}, s.leaveHost(false))
	serve(s, route{"shutdownHost", "POST", "/hosts/{host}/shutdown",
		"Have a host stop its containers and switch itself off; it is answered once the host has begun", authz.Admin, 202},
		s.leaveHost(true))
	serve(s, route{"cordonHost", "PUT", "/hosts/{host}/cordon",
		"Keep new nodes off a host, by id or name; what runs on it goes on", authz.Patch, 200}, s.cordonHost)
	serve(s, route{"uncordonHost", "DELETE", "/hosts/{host}/cordon", "Let a host take new nodes again", authz.Patch, 200}, s.uncordonHost)
	serveWith(s, route{"getHostLabels", "GET", "/hosts/{host}/labels", "What is said of a host for placing", authz.Read, 200}, s.getLabels)
	serveWith(s, route{"setHostLabels", "PUT", "/hosts/{host}/labels",
		"Replace what is said of a host for placing; nodes that are there stay where they are", authz.Admin, 200}, s.setLabels)
	serveWith(s, route{"drainHost", "POST", "/hosts/{host}/drain",
		"Cordon a host and empty it of users' nodes: each runs elsewhere before it goes, what can't leave is stopped last",
		authz.Patch, 202}, s.drainHost)
	serve(s, route{"getHostInstallation", "GET", "/hosts/{host}/install", "A host's disks, and how far its installation is", authz.Platform,
		200}, s.hostInstallation)
	serve(s, route{"installHost", "POST", "/hosts/{host}/install",
		"Have a host put its system onto one of its disks, or plan it; it is answered once the host has begun", authz.Admin, 202},
		s.installHost)
	serve(s, route{"getHostDisks", "GET", "/hosts/{host}/disks",
		"How the disks are that a host lies on: one, or two that mirror each other", authz.Platform, 200}, s.hostDisks)
	serve(s, route{"replaceHostDisk", "POST", "/hosts/{host}/disks",
		"Have a host fill another disk in the place of one that is gone, or (add) as the second one of a host on one disk, or plan it; " +
			"it is answered once the host has begun",
		authz.Admin, 202}, s.replaceHostDisk)
	serve(s, route{"scrubHostDisks", "POST", "/hosts/{host}/disks/scrub",
		"Have a host read all of its data and compare checksums now; it does once a month by itself", authz.Platform, 202},
		s.scrubHostDisks)
	serve(s, route{"acknowledgeHostDisk", "POST", "/hosts/{host}/disks/acknowledge",
		"Have a host count the errors of one of its disks anew, which a person has seen", authz.Platform, 200}, s.acknowledgeHostDisk)
	serve(s, route{"getHostSlots", "GET", "/hosts/{host}/slots", "The systems of an installed host", authz.Platform, 200}, s.hostSlots)
	serve(s, route{"changeHostSlots", "POST", "/hosts/{host}/slots",
		"Have an installed host boot its other system once, go back to it, or copy the one that it runs", authz.Patch, 202},
		s.changeHostSlots)
	serve(s, route{"getHostSystem", "GET", "/hosts/{host}/system", "Of which release a host's system shall be, and how far it is",
		authz.Read, 200}, s.hostSystem)
	serve(s, route{"orderHostSystem", "PUT", "/hosts/{host}/system",
		"Order the release of a host's system; the host runs it only if both repositories name it", authz.Patch, 200}, s.orderHostSystem)
	serve(s, route{"takeBackHostSystem", "DELETE", "/hosts/{host}/system",
		"Take the order of a host's system back: a host that has not switched yet does nothing more", authz.Patch, 200},
		s.takeBackHostSystem)
	serve(s, route{"createJoinToken", "POST", "/join-tokens", "Make a one-time join token for a host; its text is shown this once",
		authz.Admin, 201}, s.createJoinToken)
	serve(s, route{"listWaitingHosts", "GET", "/waiting-hosts", "The machines that ask to be let in and have no join token",
		authz.Read, 200}, s.listWaitingHosts)
	serve(s, route{"admitHost", "POST", "/waiting-hosts/{code}/admit",
		"Let a waiting machine join, by the code that its console shows", authz.Admin, 200}, s.admitHost)

	serve(s, route{"listNodes", "GET", "/nodes", "All nodes, by number", authz.Read, 200}, s.listNodes)
	serve(s, route{"getNode", "GET", "/nodes/{ctid}", "One node", authz.Read, 200}, s.getNode)
	serve(s, route{"getNodeUsage", "GET", "/nodes/{ctid}/usage", "What a node has used, by 5 seconds, minutes or hours, pulled by revision",
		authz.Read, 200}, s.nodeUsage)
	serve(s, route{"getUsage", "GET", "/usage", "What environments, accounts, nodes or hosts have used, by hours, days or months",
		authz.Read, 200}, s.getUsage)
	serve(s, route{"getNodeSize", "GET", "/nodes/{ctid}/size", "What a node may use", authz.Read, 200}, s.nodeSize)
	serve(s, route{"resizeNode", "PUT", "/nodes/{ctid}/size", "Change what a node may use, while it runs", authz.Write, 200}, s.resizeNode)
	serveWith(s, route{"moveNode", "POST", "/nodes/{ctid}/move",
		"Have a node go to another host with its data; its number and addresses stay", authz.Admin, 202}, s.moveNode)
	serve(s, route{"getPorts", "GET", "/nodes/{ctid}/ports", "The ports of a node that are published at its host", authz.Read, 200},
		s.getPorts)
	serve(s, route{"setPorts", "PUT", "/nodes/{ctid}/ports", "Replace the ports of a node that are published at its host", authz.Write,
		200}, s.setPorts)
	serve(s, route{"getMounts", "GET", "/nodes/{ctid}/mounts", "The volumes of other nodes that a node has mounted", authz.Read, 200},
		s.getMounts)
	serve(s, route{"setMounts", "PUT", "/nodes/{ctid}/mounts", "Replace the volumes of other nodes that a node has mounted", authz.Write,
		200}, s.setMounts)
	serve(s, route{"getAddresses", "GET", "/nodes/{ctid}/addresses", "The public addresses of a node", authz.Read, 200}, s.getAddresses)
	serve(s, route{"setAddresses", "PUT", "/nodes/{ctid}/addresses", "Replace the public addresses of a node, which its host answers for",
		authz.Admin, 200}, s.setAddresses)
	serveWith(s, route{"getFirewall", "GET", "/nodes/{ctid}/firewall", "A node's firewall: its layer's rules and its own", authz.Read, 200},
		s.getFirewall)
	serveWith(s, route{"setFirewall", "PUT", "/nodes/{ctid}/firewall",
		"Replace a node's own rules, or those of its layer; connections that are denied from then on end", authz.Write, 200}, s.setFirewall)
	s.snapshotOperations()
	s.scheduleOperations()

	serve(s, route{"listEnvironments", "GET", "/environments", "All environments, by name, but for those in the trash", authz.Read,
		200}, s.listEnvironments)
	serveWith(s, route{"getEnvironment", "GET", "/environments/{env}", "One environment with its nodes", authz.Read, 200}, s.getEnvironment)
	serveWith(s, route{"createEnvironment", "POST", "/environments", "Create an environment", authz.Write, 202}, s.createEnvironment)
	serveWith(s, route{"editEnvironment", "PUT", "/environments/{env}",
		"Make an environment what a whole spec says, or create it: what is added, resized, restarted, made anew and removed is the plan",
		authz.Write, 202}, s.editEnvironment)
	serveWith(s, route{"groupEnvironment", "PUT", "/environments/{env}/group",
		"Say which of its account's environments it talks to: those of one group, or those that are in none", authz.Write, 200}, s.setGroup)
	serveWith(s, route{"renameEnvironment", "POST", "/environments/{env}/rename",
		"Give an environment that is stopped another name; numbers, addresses and data of its nodes stay", authz.Write, 200},
		s.renameEnvironment)
	serveWith(s, route{"keepEnvironment", "POST", "/environments/{env}/keep",
		"Keep what a failed creation left: it is not removed after a week", authz.Write, 200}, s.keepEnvironment)
	serveWith(s, route{"restartEnvironment", "POST", "/environments/{env}/restart",
		"Start an environment's nodes anew, those of a layer, or one: one after the other, each once those before it run",
		authz.Write, 202},
		s.restartEnvironment)
	serveWith(s, route{"redeployEnvironment", "POST", "/environments/{env}/redeploy",
		"Make the nodes of layers anew from another image, or from what their tag stands for now, one after the other; volumes, " +
			"variables and listed files stay",
		authz.Write, 202}, s.redeployEnvironment)
	serveWith(s, route{"undoRedeploy", "POST", "/environments/{env}/undo",
		"Make nodes again what they were before the last redeploy of their layer, within a day: image and own files, and volumes if asked",
		authz.Write, 202}, s.undoRedeploy)
	for kind, r := range map[string]route{
		"env.start": {"startEnvironment", "POST", "/environments/{env}/start", "Start an environment's nodes", authz.Write, 202},
		"env.stop": {"stopEnvironment", "POST", "/environments/{env}/stop", "Stop an environment's nodes; their data stays",
			authz.Write, 202},
		"env.spread": {"spreadEnvironment", "POST", "/environments/{env}/spread",
			"Spread its layers over hosts again, one node after the other: a new one runs before the old one goes", authz.Write, 202},
		progress.Trash: {"trashEnvironment", "POST", "/environments/{env}/trash",
			"Put an environment into the trash: its nodes are stopped, and it is erased after a while unless it is restored",
			authz.Write, 202},
		progress.Restore: {"restoreEnvironment", "POST", "/environments/{env}/restore",
			"Bring an environment back out of the trash, as it was before", authz.Write, 202},
		"env.delete": {"deleteEnvironment", "DELETE", "/environments/{env}",
			"Delete an environment with all its data, at once, also one in the trash", authz.Write, 202},
	} {
		serveWith(s, r, s.changeEnvironment(kind, r))
	}

	serve(s, route{"listOperations", "GET", "/operations", "All operations, newest first", authz.Read, 200}, s.listOperations)
	serve(s, route{"getOperation", "GET", "/operations/{op}", "One operation", authz.Read, 200}, s.getOperation)
	serve(s, route{"cancelOperation", "POST", "/operations/{op}/cancel", "Cancel an operation and undo it", authz.Write, 200},
		s.cancelOperation)

	serve(s, route{"listTemplates", "GET", "/templates", "The templates in the registry, and what was pushed and is none (yet)",
		authz.Read, 200}, s.listTemplates)
	serve(s, route{"getTemplate", "GET", "/templates/{template}", "One template: what it runs, its volumes, its other names, who uses it",
		authz.Read, 200}, s.getTemplate)
	serve(s, route{"tagTemplate", "POST", "/templates/{template}/tags", "Give a template another tag: a second name of the same image",
		authz.Admin, 200}, s.tagTemplate)
	serve(s, route{"deleteTemplate", "DELETE", "/templates/{template}", "Delete a template: refused while anything uses it",
		authz.Admin, 200}, s.deleteTemplate)
	serve(s, route{"collectTemplates", "POST", "/registry/collect", "Remove what no template needs from the registry, now",
		authz.Admin, 200}, s.collectTemplates)

	serve(s, route{"listReleases", "GET", "/releases", "The platform's releases that were imported", authz.Read, 200}, s.listReleases)
	serve(s, route{"trustReleases", "PUT", "/releases/trust", "Say by which first roots both repositories of releases are known",
		authz.Admin, 200}, s.trustReleases)
	serve(s, route{"importRelease", "POST", "/releases/import",
		"Import releases by the metadata of both repositories: asked again when the files that it says are lacking were sent",
		authz.Admin, 200}, s.importRelease)
	serveWith(s, route{"putReleaseFile", "PUT", "/releases/files/{digest}", "Send a part of a file that an import names", authz.Admin, 204},
		s.putReleaseFile)
	serve(s, route{"readReleaseFile", "GET", "/releases/files/{digest}", "Read a part of a release's file", authz.Read, 200},
		s.readReleaseFile)

	serve(s, route{"planRollout", "POST", "/rollouts/plan", "What a rollout of a release would do: who is patched when, who is refused, " +
		"what each node loses", authz.Patch, 200}, s.planRollout)
	serve(s, route{"startRollout", "POST", "/rollouts", "Patch the cluster's hosts to a release; there is one rollout at a time",
		authz.Patch, 201}, s.startRollout)
	serve(s, route{"listRollouts", "GET", "/rollouts", "The last rollouts without their visits, newest first", authz.Read, 200},
		s.listRollouts)
	serve(s, route{"getRollout", "GET", "/rollouts/{rollout}", "One rollout with its visits", authz.Read, 200}, s.getRollout)
	serve(s, route{"reportRollout", "GET", "/rollouts/{rollout}/report", "What a rollout cost: the seconds that each node did not serve",
		authz.Read, 200}, s.reportRollout)
	for verb, summary := range map[string]string{"pause": "Begin no further visit; those that have begun go to their end",
		"resume": "Let a paused rollout go on", "abort": "End a rollout: what was not committed is taken back"} {
		serve(s, route{verb + "Rollout", "POST", "/rollouts/{rollout}/" + verb, summary, authz.Patch, 200}, s.changeRollout(verb))
	}

	serve(s, route{"listComponents", "GET", "/components", "The platform's components: where they run, of which release, what is tried",
		authz.Read, 200}, s.listComponents)
	serve(s, route{"makeComponent", "POST", "/components", "Give a cluster a component that it was made without",
		authz.Admin, 200}, s.makeComponent)
	serve(s, route{"replaceComponent", "PUT", "/components/{component}",
		"Have a component run its version of a release, until that is confirmed: else its host goes back by itself",
		authz.Patch, 200}, s.replaceComponent)
	serve(s, route{"confirmComponent", "POST", "/components/{component}/confirm",
		"Keep the version of a component that is tried: it has to run", authz.Patch, 200}, s.confirmComponent)
	serve(s, route{"takeBackComponent", "DELETE", "/components/{component}/trial", "End the trial of a component's version",
		authz.Patch, 200}, s.takeBackComponent)

	s.accountOperations()
	s.mailOperations()
	s.acmeOperations()
	s.dnsOperations()
	s.oidcOperations()
	s.passkeyOperations()
	s.userOperations()
	s.serviceOperations()
	s.linkOperations()
	s.domainOperations()
	s.shareOperations()
	serve(s, route{"listTokens", "GET", "/tokens", "All tokens, without their text", authz.Admin, 200}, s.listTokens)
	serve(s, route{"createToken", "POST", "/tokens", "Make a token; its text is shown this once", authz.Admin, 201}, s.createToken)
	serveWith(s, route{"revokeToken", "DELETE", "/tokens/{id}", "Revoke a token at once", authz.Admin, 204}, s.revokeToken)

	serve(s, route{"listAudit", "GET", "/audit",
		"Who did what, newest first; an answer may have fewer items than asked for, or none, and still a next", authz.Admin, 200},
		s.listAudit)
}

// ofCluster are the operations that concern the whole cluster and no account: they are for those who run it. All others are of what the
// caller's account sees.
var ofCluster = map[string]bool{"getLicense": true, "setLicense": true, "rotateGossipKey": true, "createJoinToken": true,
	"listComponents": true, "makeComponent": true, "replaceComponent": true, "confirmComponent": true, "takeBackComponent": true,
	"collectTemplates": true, "listReleases": true, "trustReleases": true, "importRelease": true, "putReleaseFile": true,
	"readReleaseFile": true, "listWaitingHosts": true, "admitHost": true, "getNetboot": true, "enableNetboot": true,
	"disableNetboot": true, "listErrors": true, "setAddresses": true, "createAccount": true, "changeAccount": true,
	"createAccountToken": true, "listAccountGroups": true, "setAccountGroup": true, "deleteAccountGroup": true,
	"createUser": true, "deleteUser": true, "signInAs": true, "resetSecondFactor": true, "endUserSessions": true,
	"getMail": true, "setMail": true, "removeMail": true, "testMail": true, "listMails": true,
	"getAcme": true, "setAcme": true, "removeAcme": true,
	"getOidc": true, "setOidc": true, "removeOidc": true, "resetIdentity": true, "resetPasskeys": true,
	"getDns": true, "setDns": true, "removeDns": true, "checkDns": true,
	"planRollout": true, "startRollout": true, "listRollouts": true, "getRollout": true, "reportRollout": true, "pauseRollout": true,
	"resumeRollout": true, "abortRollout": true}

// route is one operation of the API.
type route struct {
	id, method, path, summary string
	scope                     authz.Scope // "": none, and no token either
	status                    int
}

type body[T any] struct{ Body T }

type none struct{}

// serve registers an operation that answers with a body. By the time f is called the request is decoded, and its caller known and allowed;
// what f returns is encoded, and an error of it becomes a Problem.
func serve[I, O any](s *Server, r route, f func(context.Context, caller, *I) (O, error)) {
	serveWith(s, r, func(ctx context.Context, c caller, in *I) (*body[O], error) {
		out, err := f(ctx, c, in)
		return &body[O]{out}, err
	})
}

// serveWith is serve for an answer that has more than a body, such as a header, or none.
func serveWith[I, O any](s *Server, r route, f func(context.Context, caller, *I) (*O, error)) {
	huma.Register(s.api, s.operation(r), func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, s.caller(ctx), in)
		if err != nil {
			p := operator.AsProblem(err)
			if p.Code == operator.Internal {
				logging.Or(s.Log).Error("a request failed", "operation", r.id, logging.Err, err)
			}
			if after := p.RetryAfter(); after != "" {
				return nil, huma.ErrorWithHeaders(p, http.Header{"Retry-After": {after}})
			}
			return nil, p
		}
		return out, nil
	})
}

func (s *Server) operation(r route) huma.Operation {
	needs := "Needs scope " + string(r.scope)
	if ofCluster[r.id] {
		needs += ", of a token of account " + string(wire.AdminAccount)
	}
	security := []map[string][]string{{"token": {}}}
	if r.scope == "" {
		needs, security = "Needs no token", []map[string][]string{{}}
	}
	if ofPeople[r.id] {
		needs += ", of a user's session"
	}
	return huma.Operation{OperationID: r.id, Method: r.method, Path: operator.Prefix + r.path, Summary: r.summary,
		DefaultStatus: r.status, MaxBodyBytes: door.MaxBody, Errors: refusals(r),
		Description: needs + ".", Security: security,
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			c, path := s.caller(ctx.Context()), ctx.Operation().Path
			if r.scope == "" {
				next(ctx)
				return
			}
			as, p := s.asGuest(c, r.id, r.path, r.scope, ctx.Param)
			switch c = as; {
			case p != nil:
			case afterWorks[r.id]:
				p = c.Require(r.scope, path)
			default:
				p = s.allow(c, r.scope, path)
			}
			if p == nil {
				p = themselves(c, r.id, path)
			}
			if p == nil && ofPeople[r.id] {
				p = person(c, path)
			}
			if p == nil && ofCluster[r.id] {
				p = c.RequireCluster(path)
			}
			if p == nil {
				p = within(c, r, ctx.Param)
			}
			if p != nil {
				_, w := humago.Unwrap(ctx)
				operator.WriteProblem(w, p)
				return
			}
			if c.guest != nil {
				ctx = huma.WithValue(ctx, callerKey{}, c)
			}
			next(ctx)
		}},
	}
}

// refusals are the statuses an operation may answer with instead.
func refusals(r route) []int {
	out := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable}
	if strings.Contains(r.path, "{") {
		out = append(out, http.StatusNotFound)
	}
	if r.method != http.MethodGet {
		out = append(out, http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge,
			http.StatusInsufficientStorage)
	}
	return out
}
