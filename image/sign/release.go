package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/issue/folder"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/release"
)

// indexed is the size from which a file gets a block index: smaller ones are fetched whole. In bytes.
const indexed = 1 << 20

// signing is what sign, timestamp and drop share.
type signing struct {
	repo     string
	keys     []string
	days     int // of the targets
	snapshot int
	stamp    int
	closed   bool
	secure   string // the folder of the keys of secure boot: the release's systems are sealed; "": they are not
	again    bool   // a new snapshot also of the targets that are named already
	open     opener
}

func (s *signing) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.repo, "repo", "", "the repository's folder")
	c.Flags().StringSliceVar(&s.keys, "keys", nil, "folders with the keys that sign")
	c.Flags().IntVar(&s.snapshot, "snapshot-days", snapshotDays, "days until the snapshot ends")
	c.Flags().IntVar(&s.stamp, "timestamp-days", timestampDays, "days until the timestamp ends")
	c.Flags().BoolVar(&s.closed, "closed", false, fmt.Sprintf("for closed sites: snapshot and timestamp last %d days", closedDays))
	c.MarkFlagRequired("repo")
	c.MarkFlagRequired("keys")
	s.open.flag(c)
}

func (s *signing) terms(now time.Time) issue.Terms {
	t := issue.Terms{Targets: now.Add(time.Duration(s.days) * day), Snapshot: now.Add(time.Duration(s.snapshot) * day),
		Timestamp: now.Add(time.Duration(s.stamp) * day)}
	if s.closed {
		t.Snapshot, t.Timestamp = now.Add(closedDays*day), now.Add(closedDays*day)
	}
	return t
}

func signCommand() *cobra.Command {
	var s signing
	c := &cobra.Command{Use: "sign --repo DIR --keys DIR,... FOLDER",
		Short: "Add a release, as `make release` writes it, and sign it",
		Long: "Adds the files that FOLDER/manifest.json names, after comparing each with it. The targets key signs. With the snapshot\n" +
			"and timestamp keys at hand the release is in force at once; without them it is in force after the next timestamp.\n" +
			"With --secure-boot the systems of the repository's copy are sealed for machines with secure boot; FOLDER stays as it is.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := args[0]
			if s.secure != "" {
				sealed, err := s.sealed(from)
				defer os.RemoveAll(sealed)
				if err != nil {
					return err
				}
				from = sealed
			}
			files, m, err := s.add(from)
			if err != nil {
				return err
			}
			d := folder.Dir(s.repo)
			set, err := d.Set()
			if err != nil {
				return err
			}
			named, err := issue.Named(set.Targets)
			if err != nil {
				return err
			}
			for _, f := range files {
				if was, ok := named[f.Path]; ok && was.Digest != f.Digest {
					return fmt.Errorf("sign %q: release %s is signed already with another %s; a release is never changed: give it the "+
						"next number", args[0], m.Release, f.Path)
				}
				named[f.Path] = f
			}
			if err := s.named(named, set); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "release %s: %d files signed\n", m.Release, len(files))
			return s.force(cmd)
		}}
	s.flags(c)
	c.Flags().IntVar(&s.days, "days", targetsDays, "days until the targets end")
	c.Flags().StringVar(&s.secure, "secure-boot", "", "folder with the keys of secure boot (db.key and the .auth files)")
	return c
}

func dropCommand() *cobra.Command {
	var s signing
	c := &cobra.Command{Use: "drop --repo DIR --keys DIR,... VERSION", Short: "Revoke a release: no machine goes to it any more",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := folder.Dir(s.repo).Set()
			if err != nil {
				return err
			}
			named, err := issue.Named(set.Targets)
			if err != nil {
				return err
			}
			before := len(named)
			maps.DeleteFunc(named, func(_ string, t trust.Target) bool { return t.Custom.Release == args[0] })
			if len(named) == before {
				return fmt.Errorf("drop release %q: the repository does not name it; show lists those it names", args[0])
			}
			if err := s.named(named, set); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "release %s is revoked: %d files; they stay in the folder until you delete them\n", args[0],
				before-len(named))
			return s.force(cmd)
		}}
	s.flags(c)
	c.Flags().IntVar(&s.days, "days", targetsDays, "days until the targets end")
	return c
}

func timestampCommand() *cobra.Command {
	var s signing
	c := &cobra.Command{Use: "timestamp --repo DIR --keys DIR,...",
		Short: "Sign a fresh snapshot and timestamp: needs the online keys only",
		Args:  cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { s.again = true; return s.force(cmd) }}
	s.flags(c)
	return c
}

func showCommand() *cobra.Command {
	var repo string
	c := &cobra.Command{Use: "show --repo DIR", Short: "What a client makes of the repository", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := believed(folder.Dir(repo), time.Now())
			if err != nil {
				return err
			}
			pin, err := folder.Dir(repo).Pin()
			if err != nil {
				return err
			}
			v := r.Versions
			fmt.Fprintf(cmd.OutOrStdout(), "pin %s\nroot %d, targets %d, snapshot %d, timestamp %d; good until %s\n", pin, v.Root,
				v.Targets,
				v.Snapshot, v.Timestamp, r.Expires.Format(time.DateTime))
			for _, path := range slices.Sorted(maps.Keys(r.Targets)) {
				fmt.Fprintf(cmd.OutOrStdout(), "%12d %s %s\n", r.Targets[path].Length, r.Targets[path].Digest, path)
			}
			return nil
		}}
	c.Flags().StringVar(&repo, "repo", "", "the repository's folder")
	c.MarkFlagRequired("repo")
	return c
}

// add copies a release's files into the repository and says what shall be signed of each.
func (s *signing) add(dir string) (files []trust.Target, m release.Manifest, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, release.ManifestFile))
	if err != nil {
		return nil, m, fmt.Errorf("sign %q: %v; `make release` writes such a folder", dir, err)
	}
	if m, err = release.Decode(raw); err != nil {
		return nil, m, fmt.Errorf("sign %q: %v", dir, err)
	}
	custom := trust.Custom{Release: string(m.Release), Severity: string(m.Severity)}
	for _, f := range m.Floors {
		custom.Floors = append(custom.Floors, string(f))
	}
	d := folder.Dir(s.repo)
	put := func(t trust.Target, from string) error {
		files = append(files, t)
		return d.Add(t, from)
	}
	for _, a := range m.Artefacts {
		t := trust.Target{Path: m.Path(a), Length: a.Bytes, Digest: a.Digest, Custom: custom}
		if a.Kind != release.Document && a.Kind != release.Program {
			t.Custom.Arch = m.Arch
		}
		from := filepath.Join(dir, a.Name)
		if a.Bytes >= indexed {
			t.Custom.Index = t.Path + ".blocks"
			if err := s.index(t, from, put); err != nil {
				return nil, m, err
			}
		}
		if err := put(t, from); err != nil {
			return nil, m, err
		}
	}
	t := trust.Target{Path: string(m.Release) + "/" + release.ManifestFile, Length: int64(len(raw)), Custom: custom,
		Digest: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(raw)))}
	return files, m, put(t, filepath.Join(dir, release.ManifestFile))
}

// index makes the block index of a file, as a target of its own.
func (s *signing) index(t trust.Target, from string, put func(trust.Target, string) error) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("sign: %v", err)
	}
	defer f.Close()
	x, err := block.Make(f)
	if err != nil {
		return fmt.Errorf("index %q: %v", from, err)
	}
	raw := x.Encode()
	tmp, err := os.CreateTemp("", "hardnode-blocks-*")
	if err != nil {
		return fmt.Errorf("index %q: %v", from, err)
	}
	defer os.Remove(tmp.Name())
	if _, err := io.Copy(tmp, bytes.NewReader(raw)); err != nil {
		return errors.Join(fmt.Errorf("index %q: %v", from, err), tmp.Close())
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("index %q: %v", from, err)
	}
	custom := t.Custom
	custom.Index = ""
	return put(trust.Target{Path: t.Custom.Index, Length: int64(len(raw)), Custom: custom,
		Digest: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(raw)))}, tmp.Name())
}

// named signs the next targets document, which is not in force yet.
func (s *signing) named(files issue.Files, set issue.Set) error {
	d := folder.Dir(s.repo)
	root, n, err := d.Root()
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("sign: %q is no repository; init makes one", s.repo)
	}
	roles, err := issue.RolesOf(root)
	if err != nil {
		return err
	}
	key, err := s.open.one(s.keys, "targets", roles.Targets)
	if err != nil {
		return err
	}
	raw, err := issue.Targets(set.Targets, files, "", key, s.terms(time.Now()).Targets)
	if err != nil {
		return err
	}
	v, err := issue.Version(raw)
	if err != nil {
		return err
	}
	return d.WriteTargets(raw, v)
}

// force puts the newest targets in force by a snapshot and a timestamp, where both keys are at hand.
func (s *signing) force(cmd *cobra.Command) error {
	d := folder.Dir(s.repo)
	set, err := d.Set()
	if err != nil {
		return err
	}
	root, n, err := d.Root()
	if err != nil || n == 0 || set.Targets == nil {
		return errors.Join(err, fmt.Errorf("sign: %q has no signed release; init and sign make one", s.repo))
	}
	roles, err := issue.RolesOf(root)
	if err != nil {
		return err
	}
	var keys [2]ed25519.PrivateKey
	for i, r := range []struct {
		role  string
		named []ed25519.PublicKey
	}{{"snapshot", roles.Snapshot}, {"timestamp", roles.Timestamp}} {
		found, err := s.open.all(s.keys, r.role, r.named)
		if err != nil {
			return err
		}
		if len(found) == 0 && !s.again {
			fmt.Fprintf(cmd.ErrOrStderr(), "not in force yet: no %s key is at hand; run timestamp where the online keys are\n", r.role)
			return nil
		}
		if len(found) == 0 {
			_, err := s.open.one(s.keys, r.role, r.named)
			return err
		}
		keys[i] = found[0]
	}
	terms := s.terms(time.Now())
	if set.Snapshot, err = issue.Snapshot(set.Snapshot, set.Targets, "", keys[0], terms.Snapshot); err != nil {
		return err
	}
	if set.Timestamp, err = issue.Timestamp(set.Timestamp, set.Snapshot, "", keys[1], terms.Timestamp); err != nil {
		return err
	}
	v, err := versions(set)
	if err != nil {
		return err
	}
	if err := d.WriteSet(set, v); err != nil {
		return err
	}
	r, err := believed(d, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "in force: targets %d, snapshot %d, timestamp %d; good until %s\n", r.Versions.Targets,
		r.Versions.Snapshot, r.Versions.Timestamp, r.Expires.Format(time.DateTime))
	return nil
}
