// Package source finds a host's configuration.
//
// Owns: the order of sources (fw_cfg, a volume labelled HARDNODE, a URL on the kernel command line) and how each is read.
// In: /sys, /dev, the kernel command line; for the URL, a network.
// Out: the document with the name of its source, and the Day-0 bundle beside it; Nothing when no source has one.
// Never: judges a document (internal/wire/document does), or writes one.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/boot"
)

// Document is a configuration as it was found.
type Document struct {
	Name   string // for people: "fw_cfg opt/hardnode/config"
	YAML   []byte
	Bundle []byte // infra hosts: the Day-0 bundle; nil when there is none
}

// Nothing: no source has a configuration.
var Nothing = errors.New("no configuration found")

// Unread: there should be a document, and it could not be read.
var Unread = errors.New("it is asked for again")

// maxBytes bounds what is read from any source: a bundle carries first documents and keys, never images.
const maxBytes = 4 << 20

const (
	volumeLabel = "HARDNODE"
	configName  = "hardnode.yaml"
	bundleName  = "bundle.json"
)

// Local looks at the sources that need no network, in order. Root is "/" but in tests; mount mounts a volume read-only and returns its
// undo.
func Local(root string, mount func(device, fstype, dir string) (undo func() error, err error)) (Document, error) {
	if d, err := fwCfg(root); !errors.Is(err, Nothing) {
		return d, err
	}
	return volume(root, mount)
}

func fwCfg(root string) (Document, error) {
	name := func(n string) string { return filepath.Join(root, "sys/firmware/qemu_fw_cfg/by_name", n, "raw") }
	d := Document{Name: "fw_cfg " + boot.FwCfgConfig}
	var err error
	if d.YAML, err = read(name(boot.FwCfgConfig)); errors.Is(err, fs.ErrNotExist) {
		return d, Nothing
	} else if err != nil {
		return d, err
	}
	if d.Bundle, err = read(name(boot.FwCfgBundle)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	return d, nil
}

func volume(root string, mount func(device, fstype, dir string) (func() error, error)) (d Document, err error) {
	booted := efi.Vars{Dir: filepath.Join(root, efi.Dir)}.Partition()
	device, fstype, err := disk.ByLabel(filepath.Join(root, "sys/class/block"), filepath.Join(root, "dev"), volumeLabel, booted)
	if err != nil {
		return d, err
	}
	if device == "" {
		return d, Nothing
	}
	dir, err := os.MkdirTemp(filepath.Join(root, "run"), "volume-")
	if err != nil {
		return d, fmt.Errorf("read volume %s: %w", device, err)
	}
	defer os.Remove(dir)
	undo, err := mount(device, fstype, dir)
	if err != nil {
		return d, fmt.Errorf("read volume %s: %w", device, err)
	}
	defer func() { err = errors.Join(err, undo()) }()
	d.Name = fmt.Sprintf("volume %s on %s, file %s", volumeLabel, device, configName)
	if d.YAML, err = read(filepath.Join(dir, configName)); errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("volume %s on %s has no file %s: %w", volumeLabel, device, configName, Nothing)
	} else if err != nil {
		return d, err
	}
	if d.YAML = unpadded(d.YAML); d.YAML == nil {
		return d, fmt.Errorf("volume %s on %s has nothing in its file %s: %w", volumeLabel, device, configName, Nothing)
	}
	if d.Bundle, err = read(filepath.Join(dir, bundleName)); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	d.Bundle = unpadded(d.Bundle)
	return d, err
}

// unpadded is a file without the line ends that fill its place on a CD (internal/disk/medium); nil if it is nothing else.
func unpadded(raw []byte) []byte {
	if text := bytes.TrimRight(raw, "\n"); len(text) > 0 {
		return raw[:min(len(raw), len(text)+1)]
	}
	return nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	return bounded(f, path)
}

func bounded(r io.Reader, what string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("read %s: more than %d MiB", what, maxBytes>>20)
	}
	return raw, nil
}

// URL is the address on the kernel command line, "" when there is none. An address that is no http or https URL is an error. Dot segments
// in its path are taken out (RFC 3986, 5.2.4): iPXE can say "beside my script" with them only, and not every server takes them.
func URL(cmdline string) (string, error) {
	for word := range strings.FieldsSeq(cmdline) {
		text, ok := strings.CutPrefix(word, boot.ConfigArgument)
		if !ok {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", fmt.Errorf("kernel argument %s%s: want an http or https URL", boot.ConfigArgument, text)
		}
		if strings.Contains(u.Path, "/.") {
			return u.JoinPath().String(), nil
		}
		return text, nil
	}
	return "", nil
}

// Fetch reads the document at the URL. The bundle is not fetched: what holds keys comes with the machine.
func Fetch(ctx context.Context, address string) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Document{}, fmt.Errorf("fetch configuration: %v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Document{}, fmt.Errorf("fetch configuration: %v; %w", err, Unread)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("fetch configuration from %s: status %s; %w", address, res.Status, Unread)
	}
	raw, err := bounded(res.Body, address)
	if err != nil {
		err = fmt.Errorf("%v; %w", err, Unread)
	}
	return Document{Name: address, YAML: raw}, err
}
