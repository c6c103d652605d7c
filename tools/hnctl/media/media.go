// Package media is hnctl's commands on boot media.
//
// Owns: how a configuration gets onto a stick or a disk image.
// In: files of this machine; an app.App.
// Out: media with a file more.
// Never: asks the orchestrator, or writes to anything but the medium that was named.
package media

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/disk/medium"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on media.
func Group(a *app.App) *cobra.Command { return app.Group("media", "Boot media", addConfig(a)) }

// What a host looks for on a volume.
const (
	configName = "hardnode.yaml"
	bundleName = "bundle.json"
)

func addConfig(a *app.App) *cobra.Command {
	var replace bool
	var bundle string
	cmd := &cobra.Command{
		Use: "add-config FILE IMAGE", Short: "Put a host configuration onto a disk image, ISO image or stick", Args: cobra.ExactArgs(2),
		Long: "Puts a host configuration onto a medium that make disk or make iso made: an image, which is replaced when all is well, or " +
			"the device of a stick. A host that boots from it reads the configuration from there. An infra host needs its bundle too.",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), args[0], document.MaxBytes)
			if err != nil {
				return err
			}
			c, err := document.HostConfig(args[0], raw)
			if err != nil {
				return err
			}
			if bundle != "" {
				keys, err := a.ReadFile(cmd.Context(), bundle, int64(medium.Addable[bundleName]))
				if err != nil {
					return err
				}
				if !json.Valid(keys) {
					return operator.NewProblem(operator.Invalid, bundle, "it is no JSON", "take the bundle that hnctl cluster init wrote")
				}
				if err := add(args[1], bundle, bundleName, keys, replace); err != nil {
					return err
				}
			}
			// The configuration comes last: a host that finds none on a medium does not look at the bundle.
			if err := add(args[1], args[0], configName, raw, replace); err != nil {
				return err
			}
			a.Say("%s: host %s boots from it with %s", args[1], c.Name, args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "put it in the place of a configuration that is there")
	cmd.Flags().StringVar(&bundle, "bundle", "", "the bundle of an infra host, a `file`")
	return cmd
}

// add puts a file onto a medium under a name.
func add(to, file, name string, data []byte, replace bool) error {
	switch err := medium.Add(to, name, data, replace); {
	case errors.Is(err, medium.ErrThere):
		return operator.NewProblem(operator.Conflict, to, "it has a "+name+" already", "use --replace, or another medium")
	case errors.Is(err, medium.ErrNoPlace):
		return operator.NewProblem(operator.Invalid, to, "it is no boot medium of Hardnode's, or it is damaged",
			"make one with make disk or make iso")
	case errors.Is(err, fs.ErrNotExist):
		return operator.NewProblem(operator.Invalid, to, "there is no such file", "name the image or the device of a stick")
	case errors.Is(err, medium.ErrFull):
		return operator.NewProblem(operator.Invalid, file, err.Error(), "make it shorter")
	case err != nil:
		return err
	}
	return nil
}
