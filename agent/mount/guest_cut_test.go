//go:build guest

package mount

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
)

// TestMountCut plays one of two hosts, as HARDNODE_CUT says: "serve" has the volume on /dev/vda and says "serving" when all of the steps
// that the kernel's argument acked counts are on the disk; "mount" has it mounted and says "ack STEP" of each file that it wrote and
// synced, "error STEP MILLISECONDS" of each that it could not, "back STEP" when it goes on behind that. Either says "failed" and why.
func TestMountCut(t *testing.T) {
	parts := map[string]func(*testing.T) error{"serve": serveCut, "mount": mountCut, "write": writeCut}
	part := parts[os.Getenv("HARDNODE_CUT")]
	if part == nil {
		t.Skip("it plays one of two hosts when HARDNODE_CUT says which")
	}
	if err := part(t); err != nil {
		fmt.Println("failed", err)
		t.Fatal(err)
	}
}

// cutHost is one of the two, at 10.77.0.1, which has the volume, or 10.77.0.2.
func cutHost(t *testing.T, self wire.HostID, addr string, o Options) (*Mounts, error) {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	a, err := netlink.ParseAddr(addr + "/24")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(netlink.AddrAdd(link, a), netlink.LinkSetUp(link)); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile("/cluster.json")
	if err != nil {
		return nil, err
	}
	var c struct {
		Cluster wire.ClusterID
		Pin     string
		Key     []byte
		Chain   [][]byte
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	cred, err := identity.NewCredential(key.(ed25519.PrivateKey), c.Chain)
	if err != nil {
		return nil, err
	}
	holder := &identity.Holder{}
	holder.Set(cred)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	o.Self, o.Holder = func() wire.HostID { return self }, func() *identity.Holder { return holder }
	o.Trust = func() identity.Trust { return identity.Trust{Pin: c.Pin, Cluster: c.Cluster} }
	o.Peers = func() *host.Peers {
		return &host.Peers{Hosts: []host.Peer{{ID: h1, Underlay: netip.MustParseAddr("10.77.0.1")}}}
	}
	o.Keeper, o.Port, o.Boot = nobody{}, host.MountPort, string(boot)
	return New(o), nil
}

const cutDisk = "/disk"

func serveCut(t *testing.T) error {
	if _, err := btrfs.Heal("/dev/vda"); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(cutDisk, 0o755), unix.Mount("/dev/vda", cutDisk, "btrfs", unix.MS_NOATIME, "")); err != nil {
		return err
	}
	top, err := os.Open(cutDisk)
	if err != nil {
		return err
	}
	if err := btrfs.EnableSimpleQuota(top); err != nil {
		return err
	}
	if err := btrfs.CreateSubvolume(top, "vol"); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := btrfs.Sync(top); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for _, f := range strings.Fields(string(line)) {
		if n, ok := strings.CutPrefix(f, "acked="); ok {
			acked, err := strconv.Atoi(n)
			if err != nil {
				return err
			}
			if err := cutWhole(filepath.Join(cutDisk, "vol"), acked); err != nil {
				return err
			}
		}
	}
	m, err := cutHost(t, h1, "10.77.0.1", Options{
		Work: func() *host.Work {
			return &host.Work{Containers: []host.Container{{CTID: 101, Shares: []mount.Share{{Volume: "data", To: 102, Host: h2}}}}}
		},
		Volume: func(wire.CTID, string) (*os.File, error) { return sys.OpenDir(filepath.Join(cutDisk, "vol")) }})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	return m.Run(t.Context())
}

func mountCut(t *testing.T) error {
	want := mount.Mount{Name: "shared", Path: "/srv", From: 101, Host: h1, Volume: "data"}
	m, err := cutHost(t, h2, "10.77.0.2", Options{Work: func() *host.Work {
		return &host.Work{Containers: []host.Container{{CTID: 102, Mounts: []mount.Mount{want}}}}
	}})
	if err != nil {
		return err
	}
	go m.Run(t.Context())
	tree, _, err := m.Open(t.Context(), 102, want)
	if err != nil {
		return err
	}
	at := t.TempDir()
	if err := sys.Attach(tree, at); err != nil {
		return err
	}
	// Another process: this one answers what the kernel asks, and must not wait there.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestMountCut$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), "HARDNODE_CUT=write", "HARDNODE_AT="+at)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// cutContent is that of the file of a step.
func cutContent(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "step %d\n", n), 200+n*7919%4000) }

func cutFile(dir string, n int) string { return filepath.Join(dir, "step-"+strconv.Itoa(n)) }

// cutWhole looks for the files of the steps up to one.
func cutWhole(dir string, last int) error {
	for n := range last + 1 {
		got, err := os.ReadFile(cutFile(dir, n))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, cutContent(n)) {
			return fmt.Errorf("%s has %d bytes, which are not what was written", cutFile(dir, n), len(got))
		}
	}
	return nil
}

// writeCut writes file after file. One that is not synced is written to meanwhile.
func writeCut(t *testing.T) error {
	dir := os.Getenv("HARDNODE_AT")
	var open *os.File
	for n, away := 0, false; ; {
		began := time.Now()
		err := cutStep(dir, n)
		if err == nil && open == nil {
			open, err = os.Create(filepath.Join(dir, "open"))
		}
		if err != nil {
			if !errors.Is(err, unix.EIO) {
				return fmt.Errorf("step %d: %w", n, err)
			}
			fmt.Println("error", n, time.Since(began).Milliseconds())
			away = true
			time.Sleep(200 * time.Millisecond)
			continue
		}
		if away {
			if open != nil {
				if err := open.Sync(); !errors.Is(err, unix.EIO) {
					return fmt.Errorf("the sync of a file whose host lost what was not synced says %v", err)
				}
				open.Close()
			}
			open, away = nil, false
			if err := cutWhole(dir, n); err != nil {
				return err
			}
			fmt.Println("back", n)
		} else if _, err := open.WriteString("not synced\n"); err != nil {
			fmt.Println("error", n, time.Since(began).Milliseconds())
			away = true
			continue
		}
		fmt.Println("ack", n)
		n++
	}
}

func cutStep(dir string, n int) error {
	f, err := os.Create(cutFile(dir, n))
	if err != nil {
		return err
	}
	_, err = f.Write(cutContent(n))
	return errors.Join(err, f.Sync(), f.Close())
}
