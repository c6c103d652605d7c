package cli

import (
	"github.com/spf13/cobra"
)

// commands are the nouns, each with its verbs.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		group("cluster", "The cluster as a whole", a.clusterInit(), a.clusterStatus(), a.clusterRotateGossipKey()),
		group("host", "Hosts", a.hostList(), a.hostShow(), a.hostToken(), a.hostRemove(), a.hostLogs(), group("config", "Host configuration files", a.hostConfigValidate())),
		group("env", "Environments", a.envCreate(), a.envList(), a.envShow(),
			a.envChange("start", "Start an environment's nodes"), a.envChange("stop", "Stop an environment's nodes; their data stays"),
			a.envChange("spread", "Spread its layers over hosts again, one node after the other: a new one runs before the old one goes"), a.envChange("delete", "Delete an environment with all its data"),
			a.envKeep()),
		group("node", "Nodes (containers)", a.nodeList(), a.nodeExec(), a.nodeLogs(), a.nodeJEM()),
		group("op", "Operations", a.opList(), a.opShow(), a.opWatch(), a.opCancel()),
		group("licence", "The licence", a.licenceShow(), a.licenceSet()),
		group("template", "Templates", a.templateList(), a.templatePush(), a.templateRemove(), a.templateCollect()),
		group("registry", "The cluster's registry", a.registryLogin()),
		group("token", "API tokens", a.tokenList(), a.tokenCreate(), a.tokenRevoke()),
		group("jls", "A licence server of your own",
			group("licence", "Licences", a.jlsLicenceList(), a.jlsLicenceIssue(), a.jlsLicenceRevoke()),
			group("installation", "Installations", a.jlsInstallationList(), a.jlsInstallationRelease()), a.jlsAudit()),
		group("context", "The clusters hnctl knows", a.contextList(), a.contextShow(), a.contextUse(), a.contextAdd(), a.contextRename(), a.contextDelete()),
		a.audit(),
		a.version(),
	}
}

func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(subs...)
	return c
}
