package programs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"hardnode.dev/internal/testkit/program"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// archive is a cpio of one file, padded as the image's are.
func archive(name, data string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0o100444, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
		len(name)+1, 0, name)
	b.Write(make([]byte, (4-b.Len()%4)%4))
	b.WriteString(data)
	b.Write(make([]byte, (512-b.Len()%512)%512))
	return b.Bytes()
}

func TestMade(t *testing.T) {
	want := release.Parts{release.Agent: wire.DigestOf(sha256.Sum256([]byte("agent")))}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Made(bytes.NewReader(program.Sections(map[string][]byte{".linux": []byte("kernel"), release.PartsSection: text})))
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := Made(bytes.NewReader(program.Sections(map[string][]byte{".linux": []byte("kernel")}))); !errors.Is(err, ErrSilent) {
		t.Errorf("a system of an older release: %v", err)
	}
	for _, bad := range []string{"", "[]", `{"agent":"12"}`} {
		if _, err := Made(bytes.NewReader(program.Sections(map[string][]byte{release.PartsSection: []byte(bad)}))); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := Made(bytes.NewReader([]byte("no program"))); err == nil {
		t.Error("what is no EFI program is taken")
	}
}

func TestRootOf(t *testing.T) {
	first := slices.Concat([]byte("(\xb5/\xfd zstd"), make([]byte, 1024-9))
	root := archive(rootName, "the filesystem")
	for name, c := range map[string]struct {
		initrd []byte
		want   string
	}{
		"behind a compressed one":  {slices.Concat(first, root), "the filesystem"},
		"with microcode before":    {slices.Concat(archive("kernel/x86", "microcode"), first, root), "the filesystem"},
		"and components after":     {slices.Concat(first, root, archive("images", "more")), "the filesystem"},
		"a name that begins so":    {slices.Concat(archive(rootName+".old", "another"), root), "the filesystem"},
		"none":                     {first, ""},
		"cut off":                  {root[:newcToData+5], ""},
		"a size that is no number": {slices.Concat(root[:newcSize], []byte("zzzzzzzz"), root[newcSize+8:]), ""},
		"empty":                    {nil, ""},
	} {
		got, err := rootOf(io.NewSectionReader(bytes.NewReader(c.initrd), 0, int64(len(c.initrd))))
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: it is found", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, err := io.ReadAll(got); string(text) != c.want || err != nil {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}

// TestRootIsOneThatInitTakes: init takes orders only for roots of its folder.
func TestRootIsOneThatInitTakes(t *testing.T) {
	root := boot.RootFor("1.4.0", wire.DigestOf([32]byte{1}))
	o := boot.HotOrder{Release: "1.4.0", Root: root, Programs: []string{"agent"}, WithinSec: 60}
	if err := o.Validate(); err != nil || o.Root != "/run/hardnode/roots/1.4.0-01000000" {
		t.Errorf("%s: %v", o.Root, err)
	}
}
