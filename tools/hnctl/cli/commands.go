package cli

import (
	"github.com/spf13/cobra"

	"hardnode.dev/tools/hnctl/account"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/cluster"
	"hardnode.dev/tools/hnctl/contexts"
	"hardnode.dev/tools/hnctl/env"
	"hardnode.dev/tools/hnctl/host"
	"hardnode.dev/tools/hnctl/jls"
	"hardnode.dev/tools/hnctl/media"
	"hardnode.dev/tools/hnctl/metering"
	"hardnode.dev/tools/hnctl/node"
	"hardnode.dev/tools/hnctl/operation"
	"hardnode.dev/tools/hnctl/patch"
	"hardnode.dev/tools/hnctl/registry"
	"hardnode.dev/tools/hnctl/release"
	"hardnode.dev/tools/hnctl/share"
	"hardnode.dev/tools/hnctl/template"
	"hardnode.dev/tools/hnctl/token"
	"hardnode.dev/tools/hnctl/user"
)

// commands are the nouns, each with its verbs.
func commands(a *app.App) []*cobra.Command {
	return []*cobra.Command{
		cluster.Group(a),
		host.Group(a),
		env.Group(a),
		share.Group(a),
		node.Group(a),
		node.JEM(a),
		operation.Group(a),
		cluster.Licence(a),
		template.Group(a),
		registry.Group(a),
		release.Group(a),
		patch.Group(a),
		token.Group(a),
		account.Group(a),
		metering.Group(a),
		user.Login(a),
		user.Logout(a),
		user.Whoami(a),
		user.Group(a),
		user.Sessions(a),
		user.Factors(a),
		user.Identities(a),
		user.Passkeys(a),
		jls.Group(a),
		media.Group(a),
		contexts.Group(a),
		audit(a),
		version(a),
	}
}
