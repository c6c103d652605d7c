package kmod

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTableRowsHaveReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Table {
		if r.Reason == "" {
			t.Errorf("row %q: no reason", r.Name)
		}
		if seen[Canonical(r.Name)] {
			t.Errorf("row %q: twice", r.Name)
		}
		seen[Canonical(r.Name)] = true
	}
}

func TestParseInfo(t *testing.T) {
	section := "license=GPL\x00alias=fs-btrfs\x00alias=devname:btrfs-control\x00softdep=pre: crc32c xxhash64\x00depends=xor,raid6-pq\x00"
	want := Info{Depends: []string{"xor", "raid6_pq"}, Soft: []string{"crc32c", "xxhash64"}, Aliases: []string{"devname:btrfs-control", "fs-btrfs"}}
	if got := parseInfo([]byte(section)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestIndexes(t *testing.T) {
	mods := []Module{
		{Name: "failover"},
		{Name: "net_failover", Info: Info{Depends: []string{"failover"}}, Use: Asked},
		{Name: "virtio_net", Info: Info{Depends: []string{"net_failover"}, Aliases: []string{"virtio:d00000001v*"}}, Use: Hardware},
		{Name: "veth", Use: Preload},
	}
	dep, alias, preload := indexes(mods)
	if want := "failover:\nnet_failover: failover\nvirtio_net: failover net_failover\nveth:\n"; dep != want {
		t.Errorf("modules.dep:\n%swant:\n%s", dep, want)
	}
	if want := "virtio:d00000001v* virtio_net\n"; alias != want {
		t.Errorf("modules.alias: %q, want %q", alias, want)
	}
	if want := "failover\nveth\n"; preload != want {
		t.Errorf("modules.preload: %q, want %q", preload, want)
	}
}

func TestChooseNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte("kernel/fs/ext4/ext4.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, absent, err := tree.Choose([]Row{{"ext4", Asked, "x"}, {"no-such", Preload, "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(absent, ", "), "ext4 (built in), no-such (not in this kernel)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, _, err := tree.Choose([]Row{{"ext4", Asked, ""}}); err == nil {
		t.Error("a row without a reason was taken")
	}
}
