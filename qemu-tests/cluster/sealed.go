package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// SecureBoot is a site's keys of secure boot, as a test has them.
type SecureBoot struct {
	Dir  string // PK, KEK and db
	pass string // file with their passphrase
}

// MakeSecureBoot makes keys below dir, which has none yet; firmware that takes them on believes the certificates also too. root is the tree
// whose programs do it.
func MakeSecureBoot(ctx context.Context, root, dir string, detail detail, also ...string) (SecureBoot, error) {
	s := SecureBoot{Dir: filepath.Join(dir, "keys"), pass: filepath.Join(dir, "passphrase")}
	for _, target := range []string{"bin", "image"} {
		if err := Make(ctx, root, target, detail); err != nil {
			return s, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	if err := os.WriteFile(s.pass, []byte("correct horse\n"), 0o600); err != nil {
		return s, err
	}
	args := []string{"release", "secure-boot", "--dir", s.Dir, "--passphrase-file", s.pass}
	for _, certificate := range also {
		args = append(args, "--also", certificate)
	}
	return s, s.image(ctx, root, args...)
}

// Disk makes a boot medium whose system the keys seal, and returns its path; the next call of any keys writes there too.
func (s SecureBoot) Disk(ctx context.Context, root string) (string, error) {
	return filepath.Join(root, "out/media/sealed-host.disk"), s.image(ctx, root, "-secure-boot", s.Dir, "-passphrase-file", s.pass, "disk")
}

func (s SecureBoot) image(ctx context.Context, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "out/bin/image"), args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("image %s: %v\n%s", args[len(args)-1], err, out)
	}
	return nil
}
