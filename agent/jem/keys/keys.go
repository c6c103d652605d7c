// Package keys is JEM's module of the SSH keys with which people get in.
//
// Owns: a user's authorized_keys: what counts as a key, how it is named.
// In: users of the container, keys that are sent along.
// Out: the file, written whole; keys by their fingerprints.
// Never: leaves the user's home, whatever links the user made there, or takes a key with options: those run commands.
package keys

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "keys", Help: "SSH keys", Actions: []contract.Action{
	{Name: "list", Args: "USER", Help: "keys that let a user in", Reads: true, Begin: list},
	{Name: "add", Args: "USER", Help: "let a user in with the public keys that are sent along", Begin: add},
	{Name: "remove", Args: "USER FINGERPRINT", Help: "let nobody in with this key any more", Frees: true, Begin: remove},
}}

const (
	name    = ".ssh/authorized_keys"
	maxFile = 256 << 10
	maxKeys = 500
)

// types are the kinds of keys (RFC 4253, 5656, 8709, and OpenSSH's sshd(8)).
var types = []string{"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}

// key is one line of the file.
type key struct{ kind, fingerprint, comment, line string }

// parse reads a line without options.
func parse(line string) (key, error) {
	f := strings.Fields(line)
	if len(f) < 2 || !slices.Contains(types, f[0]) {
		return key{}, fmt.Errorf("it does not begin with one of %s and a key", strings.Join(types, ", "))
	}
	blob, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil || len(blob) < 4+len(f[0]) || binary.BigEndian.Uint32(blob) != uint32(len(f[0])) || string(blob[4:4+len(f[0])]) != f[0] {
		return key{}, errors.New("what follows its type is no key of that type")
	}
	sum := sha256.Sum256(blob)
	return key{f[0], "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), strings.Join(f[2:], " "), line}, nil
}

// home is a user's home, open.
type home struct {
	user string
	who  users.User
	root *os.Root
}

func open(c *contract.Call, user string) (*home, error) {
	who, err := users.Find(c.Root, user)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Join(c.Root, who.Home))
	if err != nil || who.Home == "/" {
		return nil, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("user %q has no home directory %q", user, who.Home),
			Next: "make it first"}
	}
	return &home{user, who, root}, nil
}

// read is the file's lines; none if it is not there.
func (h *home) read() ([]string, error) {
	f, err := h.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open keys of %s: %v", h.user, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("~%s/%s is no regular file of at most %d bytes", h.user, name,
			maxFile)}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if len(b) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), err
}

// write replaces the file: sshd wants it and its directory to be the user's alone.
func (h *home) write(lines []string) error {
	const part = ".ssh/.jem-keys"
	mine := func(p string, mode fs.FileMode) error {
		if err := h.root.Chmod(p, mode); err != nil || os.Geteuid() != 0 {
			return err
		}
		return h.root.Lchown(p, int(h.who.UID), int(h.who.GID))
	}
	if err := h.root.Mkdir(path.Dir(name), 0o700); err == nil {
		if err := mine(path.Dir(name), 0o700); err != nil {
			return err
		}
	}
	if err := h.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write keys of %s: %v", h.user, err)
	}
	f, err := h.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write keys of %s: %v", h.user, err)
	}
	text := strings.Join(lines, "\n")
	if text != "" {
		text += "\n"
	}
	_, err = f.WriteString(text)
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(int(h.who.UID), int(h.who.GID)))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write keys of %s: %v", h.user, err)
	}
	return h.root.Rename(part, name)
}

// in does something with a user's keys.
func in(c *contract.Call, user string, do func(h *home, lines []string) error) contract.Steps {
	return contract.Steps{Do: func(context.Context) error {
		h, err := open(c, user)
		if err != nil {
			return err
		}
		defer h.root.Close()
		lines, err := h.read()
		if err != nil {
			return err
		}
		return do(h, lines)
	}}
}

func list(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	return in(c, a.Rest[0], func(h *home, lines []string) error {
		c.Reply.Columns = []string{"fingerprint", "type", "comment"}
		for _, l := range lines {
			if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
				continue
			}
			k, err := parse(l)
			if err != nil { // with options, or broken: shown all the same
				k = key{comment: fmt.Sprintf("%.200s", l), kind: "other"}
			}
			c.Row(k.fingerprint, k.kind, strings.ToValidUTF8(k.comment, "?"))
		}
		c.Done("%d keys", len(c.Reply.Items))
		return nil
	}), nil
}

func add(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	var keys []key
	steps := in(c, a.Rest[0], func(h *home, lines []string) error {
		added := 0
		for _, k := range keys {
			if slices.ContainsFunc(lines, func(l string) bool {
				old, err := parse(l)
				return err == nil &&
					old.fingerprint == k.fingerprint
			}) {
				continue
			}
			lines = append(lines, k.line)
			added++
		}
		if len(lines) > maxKeys {
			return &jem.Error{Code: "exhausted", Reason: fmt.Sprintf("there would be more than %d keys", maxKeys), Next: "remove some"}
		}
		c.Done("%d keys are new, %d were there", added, len(keys)-added)
		return h.write(lines)
	})
	steps.Pre = func(context.Context) error {
		raw, err := c.Given(64 << 10)
		if err != nil {
			return err
		}
		for i, l := range strings.Split(string(raw), "\n") {
			if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
				continue
			}
			k, err := parse(l)
			if err != nil {
				return &jem.Error{Code: "invalid", Reason: fmt.Sprintf("line %d is no public key: %v", i+1, err),
					Next: "send the .pub file, without options"}
			}
			keys = append(keys, k)
		}
		if len(keys) == 0 {
			return contract.Invalid("there is no key in what is sent along")
		}
		return nil
	}
	return steps, nil
}

func remove(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(2, 2)
	if err != nil {
		return contract.Steps{}, err
	}
	return in(c, a.Rest[0], func(h *home, lines []string) error {
		left := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
			k, err := parse(strings.TrimSpace(l))
			return err == nil && k.fingerprint == a.Rest[1]
		})
		if len(left) == len(lines) {
			return &jem.Error{Code: "not_found", Reason: fmt.Sprintf("user %s has no key %q", h.user, a.Rest[1]), Next: "jem keys list " +
				h.user}
		}
		c.Done("%d key removed", len(lines)-len(left))
		return h.write(left)
	}), nil
}
