package sign

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/image/uki"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/release/issue/secureboot"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/release"
)

// maker makes or opens the keys of secure boot.
type maker struct {
	dir  string
	open opener
}

func secureBootCommand() *cobra.Command {
	var m maker
	var also []string
	c := &cobra.Command{Use: "secure-boot --dir DIR", Short: "Make the keys of secure boot: PK, KEK and db",
		Long: "Makes three keys as NAME.key (encrypted with a passphrase: age), NAME.crt, and NAME.auth, by which firmware in\n" +
			"setup mode takes the key on. sign --secure-boot and image -secure-boot need db and the .auth files; keep PK.key and\n" +
			"KEK.key away. --also CERTIFICATE: firmware believes that one beside db; cards whose own firmware their maker signed\n" +
			"need theirs.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var certs []*x509.Certificate
			for _, f := range also {
				cert, err := secureboot.Certificate(f)
				if err != nil {
					return err
				}
				certs = append(certs, cert)
			}
			p, err := m.open.fresh()
			if err != nil {
				return err
			}
			if err := secureboot.Make(m.dir, p, certs, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s in %s: .key, .crt and .auth of each\n", strings.Join(secureboot.Names, ", "), m.dir)
			return nil
		}}
	c.Flags().StringVar(&m.dir, "dir", "", "folder to make them in; may be a stick")
	c.Flags().StringSliceVar(&also, "also", nil, "certificates, as PEM or DER")
	c.MarkFlagRequired("dir")
	m.open.flag(c)
	return c
}

// Sealer opens the keys in dir. passphrase is a file; "" asks.
func Sealer(dir, passphrase string) (uki.Sealer, error) {
	return sealer(dir, &opener{file: passphrase})
}

func sealer(dir string, o *opener) (uki.Sealer, error) {
	p, err := o.passphrase("passphrase of the secure boot keys in " + dir)
	if err != nil {
		return nil, err
	}
	return secureboot.Open(dir, p)
}

// sealed is a release's folder with its systems sealed, in a temporary folder; the folder itself stays as it was built.
func (s *signing) sealed(dir string) (string, error) {
	by, err := sealer(s.secure, &s.open)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(filepath.Join(dir, release.ManifestFile))
	if err != nil {
		return "", fmt.Errorf("sign %q: %v; `make release` writes such a folder", dir, err)
	}
	m, err := release.Decode(raw)
	if err != nil {
		return "", fmt.Errorf("sign %q: %v", dir, err)
	}
	to, err := os.MkdirTemp("", "hardnode-sealed-*")
	if err != nil {
		return "", fmt.Errorf("seal: %v", err)
	}
	for i, a := range m.Artefacts {
		from, err := filepath.Abs(filepath.Join(dir, a.Name))
		if err != nil {
			return to, err
		}
		if a.Kind != release.UKI {
			if err := os.Symlink(from, filepath.Join(to, a.Name)); err != nil {
				return to, fmt.Errorf("seal: %v", err)
			}
			continue
		}
		image, err := os.ReadFile(from)
		if err != nil {
			return to, fmt.Errorf("seal: %v", err)
		}
		if sum := sha256.Sum256(image); a.Digest != wire.Digest(fmt.Sprintf("sha256:%x", sum)) {
			return to, fmt.Errorf("seal %q: it is not the file that the manifest names; build the release again", from)
		}
		if image, err = uki.Seal(bytes.Clone(image), by); err != nil {
			return to, fmt.Errorf("%s: %w", a.Name, err)
		}
		m.Artefacts[i].Bytes = int64(len(image))
		m.Artefacts[i].Digest = wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(image)))
		if err := keep.WriteFile(filepath.Join(to, a.Name), image, 0o644); err != nil {
			return to, err
		}
	}
	if raw, err = m.Encode(); err != nil {
		return to, err
	}
	return to, keep.WriteFile(filepath.Join(to, release.ManifestFile), raw, 0o644)
}
