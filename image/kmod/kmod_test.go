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
	section := "license=GPL\x00alias=fs-btrfs\x00alias=devname:btrfs-control\x00softdep=pre: crc32c xxhash64\x00" +
		"firmware=a/b.bin\x00depends=xor,raid6-pq\x00"
	want := Info{Depends: []string{"xor", "raid6_pq"}, Soft: []string{"crc32c", "xxhash64"},
		Aliases: []string{"devname:btrfs-control", "fs-btrfs"}, Firmware: []string{"a/b.bin"}}
	if got := parseInfo([]byte(section)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestIndexes(t *testing.T) {
	mods := []Module{
		{Name: "failover", Use: Asked},
		{Name: "net_failover", Info: Info{Depends: []string{"failover"}}, Use: Asked},
		{Name: "virtio_net", Info: Info{Depends: []string{"net_failover"}, Aliases: []string{"virtio:d00000001v*"}}, Use: Hardware},
		{Name: "kvm_amd", Info: Info{Aliases: []string{"cpu:type:x86,*"}}, Use: Asked},
		{Name: "ahci", Info: Info{Aliases: []string{"pci:v*"}}, Use: Late},
		{Name: "btrfs", Use: Preload},
		{Name: "veth", Use: Container},
	}
	got := indexes(mods)
	for file, want := range map[string]string{
		"modules.dep":       "failover:\nnet_failover: failover\nvirtio_net: failover net_failover\nkvm_amd:\nahci:\nbtrfs:\nveth:\n",
		"modules.alias":     "virtio:d00000001v* virtio_net\npci:v* ahci\n",
		"modules.preload":   "btrfs\n",
		"modules.container": "veth\n",
		"modules.late":      "ahci\n",
	} {
		if got[file] != want {
			t.Errorf("%s:\n%swant:\n%s", file, got[file], want)
		}
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
