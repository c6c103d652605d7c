// Package offer is what machines are led to: the releases that the orchestrator says are served, as far as their files are here.
//
// Owns: the folder of files, by digest; the document in force and its copy on disk; the paths of the HTTP server.
// In: documents of the orchestrator; the files' bytes, as they come; requests of machines.
// Out: which files are lacking; for a machine's card the folder that it boots from, or why none; scripts, kernels, initrds, hardnode.yaml.
// Never: leads a machine to a release whose files are not whole, serves a file that the document does not name, or forgets what it serves
// because the orchestrator is away.
package offer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/netboot/answer"
)

// Book is what is served now. Make it with Open.
type Book struct {
	dir      string
	firmware map[string][]byte

	mu struct {
		sync.RWMutex
		doc   host.Netboot
		kept  bool                 // on disk too
		whole map[wire.Digest]bool // files that are here and were verified
	}
}

// Open takes up what was served before, if it can be read: the document is a copy, the orchestrator has the original.
func Open(dir string, firmware map[string][]byte) (*Book, error) {
	b := &Book{dir: dir, firmware: firmware}
	if err := os.MkdirAll(b.files(), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of files: %v", err)
	}
	doc, found, err := b.doc().Load()
	if err != nil || !found || doc.Validate() != nil {
		doc = host.Netboot{Reason: "the orchestrator has not said yet what is served"}
	}
	b.take(doc, true)
	return b, nil
}

func (b *Book) doc() keep.Doc[host.Netboot] {
	return keep.Doc[host.Netboot]{Path: filepath.Join(b.dir, "netboot.json"), Version: 1, Sent: true}
}

func (b *Book) files() string               { return filepath.Join(b.dir, "files") }
func (b *Book) path(d wire.Digest) string   { return filepath.Join(b.files(), d.Hex()) }
func (b *Book) coming(d wire.Digest) string { return b.path(d) + ".part" }

// Replace puts a document in force and keeps it; files that it does not name are removed. One that can't be kept is in force, and is to
// come again.
func (b *Book) Replace(doc host.Netboot) error {
	b.take(doc, false)
	b.sweep()
	if err := b.doc().Save(doc); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.kept = true
	return nil
}

// take puts a document in force. A file's name is its digest, and it has that name since it was verified; after a power cut it may be
// short.
func (b *Book) take(doc host.Netboot, kept bool) {
	whole := map[wire.Digest]bool{}
	for _, r := range doc.Releases {
		for _, f := range r.Files() {
			if st, err := os.Stat(b.path(f.Digest)); err == nil && st.Size() == f.Bytes {
				whole[f.Digest] = true
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.doc, b.mu.kept, b.mu.whole = doc, kept, whole
}

// Sum is of the document in force; "" of none, or of one that is not kept.
func (b *Book) Sum() string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.mu.kept {
		return ""
	}
	return b.mu.doc.Sum
}

// Lacking are the files of the document that are not here, those of the release that most machines boot first.
func (b *Book) Lacking() (out []host.NetbootFile) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, first := range []bool{true, false} {
		for _, r := range b.mu.doc.Releases {
			if (r.Release == b.mu.doc.Release) != first {
				continue
			}
			for _, f := range r.Files() {
				if !b.mu.whole[f.Digest] && !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// Put brings a file here: get gives its bytes from an offset on. What an earlier try left is gone on with; what turns out to be another
// file is dropped.
func (b *Book) Put(f host.NetbootFile, get func(offset int64) (io.ReadCloser, error)) error {
	to, err := os.OpenFile(b.coming(f.Digest), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	at, err := to.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if at < f.Bytes {
		body, err := get(at)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, io.LimitReader(body, f.Bytes-at))
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(to, 0, f.Bytes+1))
	if err != nil {
		return err
	}
	if n < f.Bytes {
		return fmt.Errorf("it ended at byte %d of %d", n, f.Bytes)
	}
	if got := wire.DigestOf([32]byte(h.Sum(nil))); got != f.Digest {
		return errors.Join(fmt.Errorf("it has the digest %s: it is dropped, and fetched anew", got), os.Remove(to.Name()))
	}
	if err := errors.Join(to.Sync(), os.Rename(to.Name(), b.path(f.Digest)), keep.SyncDir(b.files())); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.whole[f.Digest] = true
	return nil
}

// sweep removes what the document does not name.
func (b *Book) sweep() {
	b.mu.RLock()
	named := map[string]bool{}
	for _, r := range b.mu.doc.Releases {
		for _, f := range r.Files() {
			named[f.Digest.Hex()] = true
		}
	}
	b.mu.RUnlock()
	entries, _ := os.ReadDir(b.files()) // what can't be read is not removed
	for _, e := range entries {
		if !named[strings.TrimSuffix(e.Name(), ".part")] {
			os.Remove(filepath.Join(b.files(), e.Name()))
		}
	}
}

// Boots is the folder of URLs that a machine with this card boots from, or why it is not answered. Where its files are not here yet its
// script waits for them: firmware asks once, and a machine that is not answered may stand still until a person comes.
func (b *Book) Boots(card string) (folder, why string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r, within, why := b.mu.doc.Boots(card)
	if why != "" {
		return "", why
	}
	if within > 0 {
		return fmt.Sprintf("%s%s%d/", r.Release, trying, int(within/time.Second)), ""
	}
	return r.Release + "/", ""
}

// trying stands in the name of a folder between a release and the seconds that a machine has to be well there. It is in no version.
const trying = "+"

// Answers says why a machine with this card is not answered at all, or "".
func (b *Book) Answers(card string) (why string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.mu.doc.Answers(card)
}

// Gives is what is given out.
func (b *Book) Gives() host.Given {
	b.mu.RLock()
	defer b.mu.RUnlock()
	g, _ := host.ParseGiven(b.mu.doc.Addresses, b.mu.doc.Router, b.mu.doc.DNS) // the document was checked when it came
	return g
}

// ready tells whether all files of a release are here; mu is held.
func (b *Book) ready(r host.NetbootRelease) bool {
	for _, f := range r.Files() {
		if !b.mu.whole[f.Digest] {
			return false
		}
	}
	return true
}

// consoles are what the kernel talks on, as images for all machines have it: a name without hardware is no console and costs nothing.
var consoles = []string{"console=tty0", "console=ttyS0,115200n8"}

// ServeHTTP gives machines what they load: /snponly.efi and the like, and of each release <release>/host.ipxe, vmlinuz, host.initrd,
// hardnode.yaml.
func (b *Book) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "files are read here", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if raw, ok := b.firmware[path]; ok {
		http.ServeContent(w, r, path, time.Time{}, strings.NewReader(string(raw)))
		return
	}
	folder, name, _ := strings.Cut(path, "/")
	version, seconds, tried := strings.Cut(folder, trying)
	within, err := strconv.ParseUint(seconds, 10, 16)
	if tried && err != nil {
		http.NotFound(w, r)
		return
	}
	b.mu.RLock()
	i := slices.IndexFunc(b.mu.doc.Releases, func(r host.NetbootRelease) bool { return r.Release == version })
	if i < 0 {
		b.mu.RUnlock()
		http.NotFound(w, r)
		return
	}
	release, config, ready := b.mu.doc.Releases[i], b.mu.doc.Config, b.ready(b.mu.doc.Releases[i])
	b.mu.RUnlock()
	switch {
	case !ready && name == answer.Script:
		tries, _ := strconv.Atoi(r.URL.Query().Get("tries")) // 0 of a machine that comes
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(boot.Later(name, release.Release, tries)))
		return
	case !ready:
		http.NotFound(w, r)
		return
	}
	switch name {
	case "vmlinuz":
		b.file(w, r, release.Kernel)
	case "host.initrd":
		b.file(w, r, release.Initrd)
	case "hardnode.yaml":
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(config))
	case answer.Script:
		arguments, err := os.ReadFile(b.path(release.Cmdline.Digest))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		s := boot.Script{Profile: "host", Arguments: slices.Concat(consoles, strings.Fields(string(arguments))), Config: true}
		if tried {
			s.Arguments = append(s.Arguments, fmt.Sprint(boot.TrialArgument, within))
		}
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(s.String()))
	default:
		http.NotFound(w, r)
	}
}

func (b *Book) file(w http.ResponseWriter, r *http.Request, f host.NetbootFile) {
	from, err := os.Open(b.path(f.Digest))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer from.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, from)
}
