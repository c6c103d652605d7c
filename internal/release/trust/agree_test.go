package trust_test

import (
	"testing"

	"hardnode.dev/internal/release/trust"
)

func repo(name trust.Name, files ...trust.Target) trust.Repo {
	r := trust.Repo{Name: name, Targets: map[string]trust.Target{}}
	for _, f := range files {
		r.Targets[f.Path] = f
	}
	return r
}

func TestTwoMustAgree(t *testing.T) {
	one, two := file("1.0.0/host.efi", "one", "1.0.0"), file("1.1.0/host.efi", "two", "1.1.0")
	longer, another := one, one
	longer.Length++
	another.Digest = two.Digest
	bare := one
	bare.Custom = trust.Custom{Release: "9.9.9"} // what the director says about a file counts for nothing
	for _, c := range []struct {
		what            string
		image, director trust.Repo
		want            trust.Kind
		files           int
	}{
		{"both name it", repo(trust.Image, one, two), repo(trust.Director, bare), "", 1},
		{"the image repository alone", repo(trust.Image, one), repo(trust.Director), trust.Disagree, 0},
		{"the director alone", repo(trust.Image), repo(trust.Director, one), trust.Disagree, 0},
		{"one of two by the director alone", repo(trust.Image, one), repo(trust.Director, one, two), trust.Disagree, 0},
		{"another digest", repo(trust.Image, one), repo(trust.Director, another), trust.Disagree, 0},
		{"another length", repo(trust.Image, one), repo(trust.Director, longer), trust.Disagree, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := trust.Agree(c.image, c.director)
			if c.want != "" {
				refused(t, err, c.want)
				return
			}
			if err != nil || len(got) != c.files || got[0].Custom.Release != "1.0.0" {
				t.Errorf("got %v %v", got, err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	rel := func(version, arch string, floors ...string) trust.Target {
		f := file(version+"/host."+arch, version+arch, version)
		f.Custom.Arch, f.Custom.Floors = arch, floors
		return f
	}
	for _, c := range []struct {
		what       string
		agreed     []trust.Target
		have       trust.Have
		want, over string
		refusal    trust.Kind
	}{
		{what: "the newest", agreed: []trust.Target{rel("1.9.0", "amd64"), rel("1.10.0", "amd64")}, have: trust.Have{Running: "1.9.0",
			Arch: "amd64"}, want: "1.10.0"},
		{what: "a machine that runs nothing yet", agreed: []trust.Target{rel("1.10.0", "amd64", "1.5.0")}, have: trust.Have{Arch: "amd64"},
			want: "1.10.0"},
		{what: "what runs already", agreed: []trust.Target{rel("1.0.0", "amd64")}, have: trust.Have{Running: "1.0.0", Arch: "amd64"},
			want: "1.0.0"},
		{what: "a final one after its candidate", agreed: []trust.Target{rel("1.0.0", "amd64")}, have: trust.Have{Running: "1.0.0-rc.1",
			Arch: "amd64"}, want: "1.0.0"},
		{what: "a stop-over", agreed: []trust.Target{rel("1.5.0", "amd64"), rel("2.0.0", "amd64", "1.5.0")},
			have: trust.Have{Running: "1.0.0", Arch: "amd64"}, want: "1.5.0", over: "2.0.0"},
		{what: "two stop-overs, the first of them", agreed: []trust.Target{rel("1.2.0", "amd64"), rel("1.5.0", "amd64", "1.2.0"),
			rel("2.0.0", "amd64", "1.5.0")}, have: trust.Have{Running: "1.0.0", Arch: "amd64"}, want: "1.2.0", over: "2.0.0"},
		{what: "after the stop-over", agreed: []trust.Target{rel("1.5.0", "amd64"), rel("2.0.0", "amd64", "1.5.0")},
			have: trust.Have{Running: "1.5.0", Arch: "amd64"}, want: "2.0.0"},
		{what: "a stop-over that is not agreed on", agreed: []trust.Target{rel("2.0.0", "amd64", "1.5.0")},
			have: trust.Have{Running: "1.0.0", Arch: "amd64"}, refusal: trust.BelowFloor},
		{what: "one that is asked for", agreed: []trust.Target{rel("1.9.0", "amd64"), rel("1.10.0", "amd64")},
			have: trust.Have{Running: "1.8.0", Want: "1.9.0"}, want: "1.9.0"},
		{what: "a stop-over to one that is asked for", agreed: []trust.Target{rel("1.5.0", "amd64"), rel("2.0.0", "amd64", "1.5.0"),
			rel("2.1.0", "amd64")}, have: trust.Have{Running: "1.0.0", Want: "2.0.0"}, want: "1.5.0", over: "2.0.0"},
		{what: "one that is asked for and not agreed on", agreed: []trust.Target{rel("1.9.0", "amd64")},
			have: trust.Have{Running: "1.8.0", Want: "1.8.5"}, refusal: trust.Disagree},
		{what: "an older one that is asked for", agreed: []trust.Target{rel("1.7.0", "amd64"), rel("1.9.0", "amd64")},
			have: trust.Have{Running: "1.8.0", Want: "1.7.0"}, refusal: trust.Downgrade},
		{what: "older than what runs", agreed: []trust.Target{rel("1.0.0", "amd64")}, have: trust.Have{Running: "1.0.1", Arch: "amd64"},
			refusal: trust.Downgrade},
		{what: "older than what ran on a host that keeps nothing", agreed: []trust.Target{rel("1.0.0", "amd64")},
			have: trust.Have{Floor: "1.0.1", Arch: "amd64"}, refusal: trust.Downgrade},
		{what: "another architecture", agreed: []trust.Target{rel("1.0.0", "arm64")}, have: trust.Have{Arch: "amd64"},
			refusal: trust.Architecture},
		{what: "no version", agreed: []trust.Target{rel("latest", "amd64")}, have: trust.Have{Arch: "amd64"}, refusal: trust.Damaged},
		{what: "a floor above the release", agreed: []trust.Target{rel("1.0.0", "amd64", "1.0.0")}, have: trust.Have{Arch: "amd64"},
			refusal: trust.Damaged},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := trust.Choose(c.agreed, c.have)
			if c.refusal != "" {
				refused(t, err, c.refusal)
				return
			}
			if err != nil || got.Version != c.want || got.Over != c.over || len(got.Files) != 1 {
				t.Errorf("got %+v %v, want %s over %q", got, err, c.want, c.over)
			}
		})
	}
}
