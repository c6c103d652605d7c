package kept

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/jem"
)

func TestPaths(t *testing.T) {
	type files map[string]string // of one that begins with "-> ", a link
	for _, c := range []struct {
		name         string
		image, layer files
		want, says   string
	}{
		{name: "nothing"},
		{name: "the template's", image: files{"etc/jem/template.json": `{"version": 1, "keep": ["/etc/app", "/srv/site/"]}`},
			want: "/etc/app /srv/site"},
		{name: "a container's own template counts for nothing",
			layer: files{"etc/jem/template.json": `{"version": 1, "keep": ["/etc/app"]}`}},
		{name: "its own list, and what JEM was told; none below another", layer: files{
			"etc/jem/redeploy.conf": "# mine\n/srv/a/b\n\n  /srv/a \n/opt/x\n/opt/x\n/etc/jem/told\n", "etc/jem/told": "x"},
			want: "/etc/jem/redeploy.conf /etc/jem/told /opt/x /srv/a"},
		{name: "the image's list, where the container has none", image: files{"etc/jem/redeploy.conf": "/srv/a"}, want: "/srv/a"},
		{name: "the container's instead of the image's", image: files{"etc/jem/redeploy.conf": "/srv/a"},
			layer: files{"etc/jem/redeploy.conf": "/srv/b"}, want: "/etc/jem/redeploy.conf /srv/b"},
		{name: "a line that can't be", layer: files{"etc/jem/redeploy.conf": "/srv/a\n/usr/bin\n"},
			says: "/etc/jem/redeploy.conf, line 2: "},
		{name: "a path that leads out", layer: files{"etc/jem/redeploy.conf": "/srv/../../x"}, says: "line 1: "},
		{name: "a list that is a link", layer: files{"etc/jem/redeploy.conf": "-> /etc/passwd"}, says: "/etc/jem/redeploy.conf: "},
		{name: "a directory that is a link", layer: files{"etc/jem": "-> /etc"}, says: "/etc/jem/redeploy.conf: "},
		{name: "a pipe", layer: files{"etc/jem/redeploy.conf": "|"}, says: "is no regular file"},
		{name: "too long", layer: files{"etc/jem/redeploy.conf": strings.Repeat("#\n", jem.MaxKeepList)}, says: "65536 are read"},
		{name: "too many", layer: files{"etc/jem/redeploy.conf": many()}, says: "at most 200 can"},
		{name: "a wrong template", image: files{"etc/jem/template.json": `{`}, says: "/etc/jem/template.json of the image: "},
		{name: "no directory above", layer: files{"etc": "x"}},
	} {
		dir := func(f files) *os.File {
			root := t.TempDir()
			for name, text := range f {
				path := filepath.Join(root, name)
				err := os.MkdirAll(filepath.Dir(path), 0o700)
				to, link := strings.CutPrefix(text, "-> ")
				switch {
				case err != nil:
				case link:
					err = os.Symlink(to, path)
				case text == "|":
					err = unix.Mkfifo(path, 0o600)
				default:
					err = os.WriteFile(path, []byte(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			d, err := os.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d
		}
		got, err := Paths(dir(c.image), dir(c.layer))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		} else if text := strings.Join(got, " "); err == nil && text != c.want {
			t.Errorf("%s: got %s, want %s", c.name, text, c.want)
		}
	}
}

func many() string {
	var b strings.Builder
	for i := range 201 {
		b.WriteString("/srv/" + strings.Repeat("a", i+1) + "\n")
	}
	return b.String()
}
