package modules

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"virtio:d00000001v*", "virtio:d00000001v00001AF4", true},
		{"virtio:d00000001v*", "virtio:d00000002v00001AF4", false},
		{"pci:v00008086d000025ABsv*sd*bc*sc*i*", "pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00", true},
		{"cpu:type:x86,ven*fam*mod*:feature:*0094*", "cpu:type:x86,ven0000fam0006mod0006:feature:,0001,0094,00C1", true},
		{"cpu:type:x86,ven*fam*mod*:feature:*0094*", "cpu:type:x86,ven0000fam0006mod0006:feature:,0001,00C1", false},
		{"usb:v*d*dc*dsc*dp*ic0[1-3]isc?ip*", "usb:v1d1dc0dsc0dp0ic02isc7ip1", true},
		{"usb:ic0[1-3]", "usb:ic04", false},
		{"fs-btrfs", "fs-btrfs", true},
		{"fs-btrfs", "fs-btrfs2", false},
		{"dmi:*svnA/B*", "dmi:bvnX:svnA/B:", true},
		{"a[", "ab", false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a*b[c-d]?", "axxbc1")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.Count(pattern, "*") > 6 || len(text) > 100 {
			return // no case of this test
		}
		if !strings.ContainsAny(pattern, "*?[") && matches(pattern, text) != (pattern == text) {
			t.Errorf("%q and %q", pattern, text)
		}
	})
}

func loader(t *testing.T, fail string) (*Loader, *[]string) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep":       "failover:\nnet_failover: failover\nvirtio_net: failover net_failover\nbroken:\nahci:\n",
		"modules.alias":     "virtio:d00000001v* virtio_net\nvirtio:d00000009v* broken\npci:v8086* ahci\n",
		"modules.preload":   "virtio_net\n",
		"modules.container": "broken\nnet_failover\n",
		"modules.late":      "ahci\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var loaded []string
	l, err := Open(dir, func(path, _ string) error {
		name := strings.TrimSuffix(filepath.Base(path), ".ko")
		if name == fail {
			return errors.New("no such device")
		}
		loaded = append(loaded, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, &loaded
}

func TestAddLoadsWhatIsNeededOnce(t *testing.T) {
	l, loaded := loader(t, "")
	for range 2 {
		if err := l.Add("virtio-net", ""); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"failover", "net_failover", "virtio_net"}; !reflect.DeepEqual(*loaded, want) {
		t.Errorf("got %q, want %q", *loaded, want)
	}
	if err := l.Add("ext4", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestAddAllGoesOnAndNamesWhatWouldNotLoad(t *testing.T) {
	for _, c := range []struct {
		fail, loaded, err string
	}{
		{"", "broken failover net_failover", ""},
		{"broken", "failover net_failover", `1 of 2 modules: no such device`},
		{"failover", "broken", `1 of 2 modules: module "net_failover" needs another: no such device`},
	} {
		l, loaded := loader(t, c.fail)
		err := l.AddAll(t.Context(), l.Container())
		if got := strings.Join(*loaded, " "); got != c.loaded || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q fails: loaded %q, %v; want %q, %s", c.fail, got, err, c.loaded, c.err)
		}
	}
	l, loaded := loader(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.AddAll(ctx, l.Container()); !errors.Is(err, context.Canceled) || len(*loaded) > 0 {
		t.Errorf("after the end: loaded %q, %v", *loaded, err)
	}
}

func TestColdplugGoesOnAfterABadModule(t *testing.T) {
	l, loaded := loader(t, "broken")
	root := t.TempDir()
	for dir, alias := range map[string]string{"a": "virtio:d00000009v00001AF4\n", "b/c": "virtio:d00000001v00001AF4\n",
		"d": "virtio:d00000001v00001AF4\n", "e": "pci:v8086d2922\n",
		"f/power": "pci:v8086\n", "system/memory/m0": "pci:v8086\n", "virtual/tty/t0": "pci:v8086\n"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "modalias"), []byte(alias), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	devices, late, problems := l.Coldplug(t.Context(), root)
	if devices != 4 || len(problems) != 1 || !reflect.DeepEqual(late, []string{"ahci"}) {
		t.Errorf("%d devices, late %q, problems %v; want 4, ahci and one", devices, late, problems)
	}
	if !reflect.DeepEqual(*loaded, []string{"failover", "net_failover", "virtio_net"}) {
		t.Errorf("loaded %q", *loaded)
	}
}

func TestEvent(t *testing.T) {
	if got, ok := event("add@/devices/x\x00ACTION=add\x00MODALIAS=virtio:d1v2\x00SEQNUM=1\x00"); !ok || got != "virtio:d1v2" {
		t.Errorf("got %q, %v", got, ok)
	}
	if _, ok := event("remove@/devices/x\x00MODALIAS=virtio:d1v2\x00"); ok {
		t.Error("a removed device counts as added")
	}
}
