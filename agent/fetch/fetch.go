// Package fetch brings images onto this host.
//
// Owns: DATA/images: one read-only erofs file a digest, and nothing else.
// In: an image's digest and size; the boot medium's images; the registries' addresses; releases, for the platform's components.
// Out: the path of a file whose SHA-256 is the digest; WrongError when what came has another one.
// Never: gives out a file it has not verified, or leaves a part of a wrong one behind.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/host/pull"
)

// WrongError: the content from Source has another digest (or size) than the Assignment names. Nothing of it was kept.
type WrongError struct {
	Image  host.Image
	Source string
	Why    string
}

func (e *WrongError) Error() string {
	return fmt.Sprintf("image %s (%s) from %s: %s; push the template again and redeploy", e.Image.Name, e.Image.Digest, e.Source, e.Why)
}

// Store is the images on this host.
type Store struct {
	Dir        string          // where they lie, on DATA
	BootDir    string          // images the boot medium carries; "" for none
	Client     *http.Client    // reaches registries over mutual TLS; its Timeout must be 0
	Registries func() []string // host:port, tried in order
	Stall      time.Duration   // a transfer that brings nothing for so long is given up; 0 is 20 s
	Window     time.Duration   // one that brings less than 10 KiB/s over so long too: others wait for its place; 0 is a minute
	// Release finds the image of a component of the platform in a release, and gives what reads it: as many bytes as are asked for.
	Release func(context.Context, host.Image) (func(ctx context.Context, offset int64, length int) ([]byte, error), error)
	Log     *slog.Logger

	flight singleflight.Group
}

// Path is where the image lies, if it is here.
func (s *Store) Path(d wire.Digest) (string, bool) {
	if d.Validate() != nil {
		return "", false
	}
	p := filepath.Join(s.Dir, d.Hex()+".erofs")
	st, err := os.Stat(p)
	return p, err == nil && st.Mode().IsRegular()
}

// Ensure returns the image's path, fetching it first if needed. Callers that want the same image share one transfer; its first caller's
// ctx bounds it.
func (s *Store) Ensure(ctx context.Context, img host.Image) (string, error) {
	if img.Digest == "" {
		return "", fmt.Errorf("this host's boot medium carries no image %s: boot it from a newer one", img.Name)
	}
	if err := img.Digest.Validate(); err != nil {
		return "", err
	}
	p, ok := s.Path(img.Digest)
	if ok {
		return p, nil
	}
	ch := s.flight.DoChan(string(img.Digest), func() (any, error) { return nil, s.bring(ctx, img) })
	select {
	case r := <-ch:
		return p, r.Err
	case <-ctx.Done():
		r := <-ch // the transfer sees the same end, or belongs to another caller
		return p, errors.Join(r.Err, ctx.Err())
	}
}

func (s *Store) bring(ctx context.Context, img host.Image) error {
	began := time.Now()
	if err := os.MkdirAll(s.Dir, 0o711); err != nil {
		return fmt.Errorf("make image directory: %v", err)
	}
	if err := s.room(img); err != nil {
		return err
	}
	source, medium := "boot medium", s.copyBundled(ctx, img)
	if medium != nil && ctx.Err() != nil {
		return medium
	}
	if medium != nil { // it is not there, or the medium is damaged: the registries have it too
		var err error
		if source, err = s.remote(ctx, img); err != nil {
			if errors.Is(medium, fs.ErrNotExist) {
				return err
			}
			return fmt.Errorf("%w; the boot medium has it, but: %v", err, medium)
		}
		if !errors.Is(medium, fs.ErrNotExist) {
			logging.Or(s.Log).Warn("the boot medium's image can't be used", "image", img.Name, logging.Err, medium)
		}
	}
	logging.Or(s.Log).Info("image is here", "image", img.Name, "digest", img.Digest, "source", source, logging.Took, time.Since(began))
	return nil
}

// reserve is left free on DATA for what runs there.
const reserve = 64 << 20

func (s *Store) room(img host.Image) error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir, &st); err != nil {
		return fmt.Errorf("look for room in %q: %v", s.Dir, err)
	}
	free := int64(st.Bavail) * st.Bsize
	var part unix.Stat_t
	unix.Stat(s.part(img), &part) // none has no blocks
	if free = withPart(free, part.Blocks*512, img); free < img.Bytes+reserve {
		return fmt.Errorf("image %s needs %d MiB, %q has %d MiB free (%d MiB are kept for containers); delete environments on this host "+
			"or give it a larger disk",
			img.Name, img.Bytes>>20, s.Dir, free>>20, int64(reserve)>>20)
	}
	return nil
}

// withPart is the room there is for an image, of which an earlier transfer left part bytes on the same disk: they are not needed twice.
func withPart(free, part int64, img host.Image) int64 { return free + min(part, img.Bytes) }

// copyBundled copies the image from the boot medium: a container's image must outlive the medium's next version.
func (s *Store) copyBundled(ctx context.Context, img host.Image) error {
	if s.BootDir == "" {
		return fs.ErrNotExist
	}
	src, err := os.Open(filepath.Join(s.BootDir, img.Digest.Hex()+".erofs"))
	if err != nil {
		return err
	}
	defer src.Close()
	part, sum, _, err := s.openPart(img, false)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := pour(part, sum, &ctxReader{ctx, src}, img, 0); err != nil {
		os.Remove(part.Name())
		return fmt.Errorf("copy image %s from the boot medium: %v", img.Name, err)
	}
	return s.finish(part, sum, img, "the boot medium")
}

// remote takes the image from where images of its kind come from. Those of the platform's own components come from releases alone: what the
// registry has anybody may push who has the token for it.
func (s *Store) remote(ctx context.Context, img host.Image) (source string, err error) {
	if strings.HasPrefix(string(img.Name), platform) {
		return "a release", s.fromRelease(ctx, img)
	}
	return s.download(ctx, img)
}

func (s *Store) download(ctx context.Context, img host.Image) (source string, err error) {
	var regs []string
	if s.Registries != nil {
		regs = s.Registries()
	}
	if len(regs) == 0 {
		return "", fmt.Errorf("fetch image %s: no registry is known yet; it comes with the orchestrator's first peers document", img.Name)
	}
	var errs []error
	for _, addr := range regs {
		err := s.from(ctx, addr, img)
		var wrong *WrongError
		if err == nil || errors.As(err, &wrong) || ctx.Err() != nil {
			return addr, err
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// from takes the image from one registry, going on behind what an earlier, broken transfer left.
func (s *Store) from(ctx context.Context, addr string, img host.Image) error {
	part, sum, have, err := s.openPart(img, true)
	if err != nil {
		return err
	}
	defer part.Close()
	resumed := have > 0
	if img.Bytes > 0 && have >= img.Bytes { // killed before it got its name, or damaged
		if have == img.Bytes && wire.DigestOf([32]byte(sum.Sum(nil))) == img.Digest {
			return s.finish(part, sum, img, "an earlier transfer")
		}
		sum.Reset()
		if err := errors.Join(part.Truncate(0), seekStart(part)); err != nil {
			return fmt.Errorf("fetch image %s: %v", img.Name, err)
		}
		have, resumed = 0, false
	}
	req, err := pull.NewImageRequest(addr, img.Digest, have)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := s.Stall
	if stall == 0 {
		stall = 20 * time.Second
	}
	dog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing came for %s", stall)) })
	defer dog.Stop()
	resp, err := s.Client.Do(req.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("fetch image %s from %s: %v", img.Name, addr, cause(ctx, err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
	case resp.StatusCode == http.StatusOK:
		if have > 0 {
			sum.Reset()
			if err := errors.Join(part.Truncate(0), seekStart(part)); err != nil {
				return fmt.Errorf("fetch image %s: %v", img.Name, err)
			}
			have, resumed = 0, false
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		os.Remove(part.Name())
		return fmt.Errorf("fetch image %s from %s: what an earlier transfer left did not fit and was dropped", img.Name, addr)
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("fetch image %s (%s) from %s: the registry does not have it; push the template again", img.Name, img.Digest, addr)
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("fetch image %s from %s: %s: %s", img.Name, addr, resp.Status, strings.TrimSpace(string(text)))
	}
	body := &petReader{r: resp.Body, pet: func() { dog.Reset(stall) }}
	defer s.pace(body, cancel)()
	if err := pour(part, sum, body, img, have); err != nil {
		var wrong *WrongError
		if errors.As(err, &wrong) {
			wrong.Source = addr
			os.Remove(part.Name())
			return wrong
		}
		return fmt.Errorf("fetch image %s from %s: %v", img.Name, addr, cause(ctx, err)) // the part stays: the next try goes on behind it
	}
	dog.Stop()
	err = s.finish(part, sum, img, addr)
	// the part or the registry is wrong: the next try, from the start, will show
	if wrong := (*WrongError)(nil); resumed && errors.As(err, &wrong) {
		return fmt.Errorf("fetch image %s from %s: what an earlier transfer left was damaged and was dropped", img.Name, addr)
	}
	return err
}

// Collect deletes images, and parts of transfers, that are not used; it returns what it deleted.
func (s *Store) Collect(used map[wire.Digest]bool) ([]wire.Digest, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list images: %v", err)
	}
	var gone []wire.Digest
	var errs []error
	for _, e := range entries {
		name, ext, _ := strings.Cut(e.Name(), ".")
		d := wire.Digest("sha256:" + name)
		if d.Validate() != nil || ext != "erofs" && ext != "part" || used[d] {
			continue
		}
		if err := os.Remove(filepath.Join(s.Dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, d)
	}
	return gone, errors.Join(errs...)
}

// Low tells whether DATA is so full that unused images should go: less than a tenth is free.
func (s *Store) Low() bool {
	var st unix.Statfs_t
	return unix.Statfs(s.Dir, &st) == nil && st.Blocks > 0 && st.Bavail < st.Blocks/10
}

// cause is what ended ctx, if that is why err happened.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// onlyReader and onlyWriter hide ReadFrom and WriteTo, so that CopyBuffer uses the one small buffer it was given.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
