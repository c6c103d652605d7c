package spec

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire/host"
)

func good() (host.Container, call.IDs) {
	return host.Container{CTID: 101, Hostname: "n", Profile: host.ProfileApp,
		Image:   host.Image{Digest: "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		Process: host.Process{Argv: []string{"nginx"}}, Volumes: []host.Volume{{Name: "data", Path: "/var/lib/data"}},
		Files: []host.File{{Path: "/run/hardnode/a/b.json"}}}, call.IDs{Base: 65536}
}

func TestCheck(t *testing.T) {
	if err := Check(good()); err != nil {
		t.Errorf("good spec: %v", err)
	}
	for _, c := range []struct {
		change func(*host.Container, *call.IDs)
		want   string
	}{
		{func(s *host.Container, _ *call.IDs) { s.CTID = 0 }, "ctid"},
		{func(s *host.Container, ids *call.IDs) { ids.Base = 0 }, "uid base"},
		{func(s *host.Container, ids *call.IDs) { ids.Base = 65537 }, "uid base"},
		{func(s *host.Container, ids *call.IDs) { ids.Base = 1<<32 - 65536 }, "uid base"},
		{func(s *host.Container, _ *call.IDs) { s.Profile = "vm" }, "profile"},
		{func(s *host.Container, _ *call.IDs) { s.Process.Argv = nil }, "no program"},
		{func(s *host.Container, _ *call.IDs) { s.Process.Cwd = "srv" }, "absolute"},
		{func(s *host.Container, _ *call.IDs) { s.Process.UID = 65536 },
			"user or group number 65536: containers of this image have the numbers 0 to 65535"},
		{func(s *host.Container, _ *call.IDs) { s.Process.Groups = []uint32{70000} }, "number 70000"},
		{func(s *host.Container, _ *call.IDs) { s.Image.IDBlocks, s.Process.GID = []uint16{1}, 200000 },
			"number 200000: containers of this image have the numbers 0 to 65535, 65536 to 131071"},
		{func(s *host.Container, _ *call.IDs) { s.Image.IDBlocks = []uint16{2, 1} }, "ascending"},
		{func(s *host.Container, ids *call.IDs) { s.Image.IDBlocks, ids.Base = []uint16{1}, 1<<32-2<<16 }, "base"},
		{func(s *host.Container, _ *call.IDs) { s.Process.StopWith = "SIGNONE" }, "SIGNONE"},
		{func(s *host.Container, _ *call.IDs) { s.Process.Env = map[string]string{"A=B": "c"} }, "is no name"},
		{func(s *host.Container, _ *call.IDs) { s.Hostname = "-" }, "host name"},
		{func(s *host.Container, _ *call.IDs) { s.Image.Digest = "sha256:0" }, "digest"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes[0].Name = "../x" }, "volume name"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes = append(s.Volumes, s.Volumes[0]) }, "twice"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes[0].Path = "/proc/sys" }, "belongs to the host"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes[0].Path = "/dev" }, "belongs to the host"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes[0].Path = "/" }, "below /"},
		{func(s *host.Container, _ *call.IDs) { s.Volumes[0].Path = "/a/../proc" }, "clean"},
		{func(s *host.Container, _ *call.IDs) { s.Files[0].Path = "/etc/passwd" }, "below /run/hardnode/"},
		{func(s *host.Container, _ *call.IDs) { s.Files[0].Path = "/run/hardnode/../x" }, "below /run/hardnode/"},
		{func(s *host.Container, _ *call.IDs) { s.Files[0].Path = "/run/hardnode/jem" }, "taken"},
	} {
		s, ids := good()
		c.change(&s, &ids)
		ids.Blocks = s.Image.IDBlocks
		if err := Check(s, ids); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
		}
	}
}
