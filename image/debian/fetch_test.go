package debian

import (
	"reflect"
	"regexp"
	"testing"
)

func TestFirstDepend(t *testing.T) {
	match := regexp.MustCompile(`^linux-image-6\.12\.[0-9].*-cloud-amd64$`)
	for _, c := range []struct{ name, text, want string }{
		{"the real one", "meta\n  Depends: linux-image-6.12.117+deb12-cloud-amd64\n", "linux-image-6.12.117+deb12-cloud-amd64"},
		{"others are skipped", "meta\n  Depends: kmod\n |Depends: linux-image-6.12.9-cloud-amd64\n", "linux-image-6.12.9-cloud-amd64"},
		{"none", "meta\n  Depends: kmod\n  Recommends: linux-image-6.12.9-cloud-amd64\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := firstDepend(c.text, match); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestURIsOf(t *testing.T) {
	text := "'http://deb.example.org/a/b_1%2b2_amd64.deb' b_1+2_amd64.deb 754760 SHA256:8b9f\nnoise\n"
	if got, want := urisOf(text), []string{"b_1+2_amd64.deb"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSplitDeb(t *testing.T) {
	for _, c := range []struct{ file, name, version string }{
		{"btrfs-progs_6.2-1+deb12u2_amd64.deb", "btrfs-progs", "6.2-1+deb12u2"},
		{"zlib1g_1%3a1.2.13.dfsg-1_amd64.deb", "zlib1g", "1:1.2.13.dfsg-1"},
	} {
		name, version, err := splitDeb(c.file)
		if err != nil || name != c.name || version != c.version {
			t.Errorf("splitDeb(%q) = %q, %q, %v; want %q, %q", c.file, name, version, err, c.name, c.version)
		}
	}
	if _, _, err := splitDeb("nonsense.deb"); err == nil {
		t.Error("splitDeb took a name without a version")
	}
}
