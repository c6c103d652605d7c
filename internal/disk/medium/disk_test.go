package medium

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	big, small := make([]byte, 20<<20+123), []byte("version: 1\n")
	rand.Read(big)
	for name, data := range map[string][]byte{"big": big, "small": small} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := []File{{Path: Removable, Source: filepath.Join(dir, "big")}, {Path: "text", Source: filepath.Join(dir, "small")},
		{Path: "EFI/Linux/a.efi", Source: filepath.Join(dir, "small")}}
	out := filepath.Join(dir, "disk")
	began := time.Now()
	if err := Disk(out, 300<<20, files...); err != nil {
		t.Fatal(err)
	}
	t.Logf("written in %s", time.Since(began))
	raw, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	table, err := gpt.Read(raw, sector, sector)
	if err != nil || len(table.Partitions) == 0 {
		t.Fatalf("read the table: %v, %+v", err, table)
	}
	p := table.Partitions[0]
	fs, err := fat32.Read(file.New(raw, true), p.GetSize(), p.GetStart(), sector)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, _ := os.ReadFile(f.Source)
		got, err := fs.ReadFile(f.Path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", f.Path, len(got), len(want), err)
		}
	}
}
