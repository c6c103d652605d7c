package release

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"hardnode.dev/internal/wire/release"
)

// Deb is one of Debian's packages that a release has files of.
type Deb struct {
	Name, Version string
	Source        string // its source package, with the version
	SHA256        string // of the .deb, hex
}

// Parts is what the software bill of materials lists.
type Parts struct {
	Version  release.Version
	Time     int64                       // Unix seconds
	Programs map[string]*debug.BuildInfo // folder → what stands in the binary (debug/buildinfo)
	Debs     []Deb
}

// SBOM is the software bill of materials: CycloneDX 1.6, JSON. Its components are the programs, the Go modules they are built from, and the
// Debian packages that have files in an image or on a medium; its dependencies say which program has which module. Licences are in the
// notices, as texts.
func SBOM(p Parts) ([]byte, error) {
	const self = "hardnode"
	mods := map[string]cdx.Component{}
	var programs []cdx.Component
	tree := []cdx.Dependency{}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p.Programs)) {
		info := p.Programs[name]
		uses := []string{}
		add := func(path, version, sum string) {
			c := module(path, version, sum)
			mods[c.BOMRef] = c
			uses = append(uses, c.BOMRef)
		}
		add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")
		for _, d := range info.Deps {
			for d.Replace != nil {
				d = d.Replace
			}
			add(d.Path, d.Version, d.Sum)
		}
		ref := "program:" + name
		parts = append(parts, ref)
		programs = append(programs, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: path.Base(name),
			Version: string(p.Version), Description: "the program of folder " + name})
		slices.Sort(uses)
		tree = append(tree, cdx.Dependency{Ref: ref, Dependencies: ptr(slices.Compact(uses))})
	}
	all := programs
	for _, ref := range slices.Sorted(maps.Keys(mods)) {
		all = append(all, mods[ref])
	}
	debs := slices.SortedFunc(slices.Values(p.Debs), func(a, b Deb) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range slices.Compact(debs) {
		c := deb(d)
		parts = append(parts, c.BOMRef)
		all = append(all, c)
	}
	tree = append([]cdx.Dependency{{Ref: self, Dependencies: &parts}}, tree...)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: time.Unix(p.Time, 0).UTC().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: self, Type: cdx.ComponentTypePlatform, Name: "Hardnode", Version: string(p.Version)}}
	bom.Components, bom.Dependencies = &all, &tree
	body, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = serial(body)
	return encode(bom)
}

func encode(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode the software bill of materials: %v", err)
	}
	return b.Bytes(), nil
}

// serial is a URN that stands for the list's content (RFC 9562, version 8): same content, same number.
func serial(body []byte) string {
	u := sha256.Sum256(body)
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// module is a Go module as a component; sum is that of go.sum, which isn't a hash of one file.
func module(path, version, sum string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
	}
	return c
}

// deb is a Debian package as a component.
func deb(d Deb) cdx.Component {
	escape := strings.NewReplacer("+", "%2B", ":", "%3A").Replace // as the purl specification has it
	purl := "pkg:deb/debian/" + escape(d.Name) + "@" + escape(d.Version) + "?arch=" + release.Arch
	kind := cdx.ComponentTypeLibrary
	if strings.HasPrefix(d.Name, "linux-image-") {
		kind = cdx.ComponentTypeOS
	} else if strings.HasPrefix(d.Name, "firmware-") || strings.HasSuffix(d.Name, "-microcode") {
		kind = cdx.ComponentTypeFirmware
	}
	return cdx.Component{BOMRef: purl, Type: kind, Name: d.Name, Version: d.Version, PackageURL: purl,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d.SHA256}},
		Properties: &[]cdx.Property{{Name: "debian:source", Value: d.Source}}}
}

func ptr[T any](v T) *T { return &v }
