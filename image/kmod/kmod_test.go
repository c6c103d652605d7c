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

// What every host loads at its boot need not be decompressed there, nor what that needs; the rest lies as the kernel's package has it.
func TestWrite(t *testing.T) {
	packed := []byte("packed")
	mods := []Module{
		{Name: "xor", Use: Asked, data: []byte("xor"), packed: packed},
		{Name: "failover", Use: Asked, data: []byte("failover"), packed: packed},
		{Name: "btrfs", Info: Info{Depends: []string{"xor"}}, Use: Preload, data: []byte("btrfs"), packed: packed},
		{Name: "virtio_net", Info: Info{Depends: []string{"failover"}}, Use: Hardware, data: []byte("virtio_net"), packed: packed},
		{Name: "veth", Use: Container, data: []byte("veth"), packed: packed},
		{Name: "own", Use: Asked, data: []byte("own")},
		{Name: "left", Use: Asked, data: []byte("left")},
	}
	dir := filepath.Join(t.TempDir(), "modules")
	if err := Write(dir, mods, func(m Module) bool { return m.Name != "left" }); err != nil {
		t.Fatal(err)
	}
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(path)] = string(data)
	}
	want := map[string]string{"xor.ko": "xor", "failover.ko.xz": "packed", "btrfs.ko": "btrfs", "virtio_net.ko.xz": "packed",
		"veth.ko": "veth", "own.ko": "own"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
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
