package host

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
)

// Paths of the host API for the component netboot.
const (
	PathNetboot       = "/host/v1/netboot"        // GET ?sum=SUM&wait=30s → Netboot; long poll, 204 when it is still the one of that sum
	PathNetbootReport = "/host/v1/netboot/report" // PUT NetbootReport
	PathNetbootFile   = "/host/v1/netboot/files/" // GET + digest: bytes of a file that Netboot names, also a range (RFC 9110, 14)
)

// Netboot is what netboot serves, and whom. It has no secret: all of it may be read by anybody on the network.
type Netboot struct {
	Version int `json:"version"` // 1
	// Sum tells this document from others.
	Sum string `json:"sum"`
	// All: every machine that asks is answered; else those with a card of For alone.
	All bool     `json:"all,omitempty"`
	For []string `json:"for,omitempty"` // MACs, lower case with colons
	// Config is the hardnode.yaml that machines are given.
	Config string `json:"config"`
	// Release is what machines boot that are not told otherwise; "": none can be served, and Reason says why.
	Release  string           `json:"release,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Releases []NetbootRelease `json:"releases"`           // that some machine boots
	Machines []NetbootMachine `json:"machines,omitempty"` // enrolled hosts whose Assignment names a release
	// Addresses is what is given out where no other DHCP server answers (ParseAddresses); "": none.
	Addresses string `json:"addresses,omitempty"`
	// Router and DNS are told with an address (ParseGiven).
	Router string   `json:"router,omitempty"`
	DNS    []string `json:"dns,omitempty"`
}

// NetbootReport is what netboot says of itself.
type NetbootReport struct {
	Version  int              `json:"version"` // 1
	Troubles []NetbootTrouble `json:"troubles,omitempty"`
}

// NetbootTrouble is one thing in the way of machines that boot.
type NetbootTrouble struct {
	What  string    `json:"what"` // its subject: "dhcp", "tftp of 10.77.0.9"
	Text  string    `json:"text"` // for people
	Since time.Time `json:"since"`
}

// maxTroubles and maxTroubleText bound a report.
const (
	maxTroubles    = 100
	maxTroubleText = 1000
)

// DecodeNetbootReport reads a NetbootReport.
func DecodeNetbootReport(r io.Reader) (NetbootReport, error) {
	var n NetbootReport
	if err := decode(r, "netboot report", &n); err != nil {
		return NetbootReport{}, err
	}
	if n.Version != 1 {
		return NetbootReport{}, fmt.Errorf("netboot report: version %d is not known, want 1", n.Version)
	}
	if len(n.Troubles) > maxTroubles {
		return NetbootReport{}, fmt.Errorf("netboot report: %d troubles, at most %d are read", len(n.Troubles), maxTroubles)
	}
	for _, t := range n.Troubles {
		if len(t.What) > maxTroubleText || len(t.Text) > maxTroubleText {
			return NetbootReport{}, fmt.Errorf("netboot report: trouble %.40q is longer than %d bytes", t.What, maxTroubleText)
		}
	}
	return n, nil
}

// NetbootRelease is the files of a release that boot a user host.
type NetbootRelease struct {
	Release string      `json:"name"` // its version
	Kernel  NetbootFile `json:"kernel"`
	Initrd  NetbootFile `json:"initrd"`
	Cmdline NetbootFile `json:"cmdline"`
}

// Files are all of them.
func (r NetbootRelease) Files() []NetbootFile { return []NetbootFile{r.Kernel, r.Initrd, r.Cmdline} }

// NetbootFile is one file.
type NetbootFile struct {
	Digest wire.Digest `json:"digest"`
	Bytes  int64       `json:"bytes"`
}

// NetbootMachine is an enrolled host, by its cards: a hint, never its identity. It boots that release and no other.
type NetbootMachine struct {
	Name    string   `json:"name"`
	MACs    []string `json:"macs"`
	Release string   `json:"release"`
	// TrySec: the release is not yet known to come up there; the machine boots anew unless it is well that many seconds after the kernel's
	// start. 0: it stays.
	TrySec int64 `json:"trySec,omitempty"`
}

// DecodeNetboot reads a Netboot.
func DecodeNetboot(r io.Reader) (Netboot, error) {
	var n Netboot
	if err := decode(r, "netboot", &n); err != nil {
		return Netboot{}, err
	}
	return n, n.Validate()
}

// Validate says what is wrong with the document, or nil. Releases are folders of URLs.
func (n Netboot) Validate() (err error) {
	if n.Version != 1 {
		return fmt.Errorf("netboot: version %d is not known, want 1", n.Version)
	}
	if n.Sum == "" {
		err = errors.New("netboot: it has no sum")
	}
	if _, e := ParseGiven(n.Addresses, n.Router, n.DNS); e != nil {
		err = errors.Join(err, fmt.Errorf("netboot: %v", e))
	}
	for _, r := range n.Releases {
		if r.Release == "" || len(r.Release) > 60 || r.Release[0] == '.' || slices.ContainsFunc([]byte(r.Release), odd) {
			err = errors.Join(err, fmt.Errorf("netboot: release %q: is no version", r.Release))
		}
		for _, f := range r.Files() {
			if f.Digest.Validate() != nil || f.Bytes < 1 {
				err = errors.Join(err, fmt.Errorf("netboot: release %q: file %q of %d bytes: want a digest and a size", r.Release, f.Digest,
					f.Bytes))
			}
		}
	}
	return err
}

// odd is what does not stand in a version.
func odd(b byte) bool {
	return !(b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '.' || b == '-')
}

// Answers says why a machine with this card is not answered at all, or "".
func (n Netboot) Answers(card string) (why string) {
	if !n.All && !slices.Contains(n.For, card) {
		return "it is none of the cards that are answered"
	}
	return ""
}

// Boots is the release that a machine with this card boots, how long it has to be well there where it is tried (0: it is not), or why it
// boots none.
func (n Netboot) Boots(card string) (r NetbootRelease, within time.Duration, why string) {
	if why := n.Answers(card); why != "" {
		return r, 0, why
	}
	want := n.Release
	if i := slices.IndexFunc(n.Machines, func(m NetbootMachine) bool { return slices.Contains(m.MACs, card) }); i >= 0 {
		want, within = n.Machines[i].Release, time.Duration(n.Machines[i].TrySec)*time.Second
		why = fmt.Sprintf("it is host %s, which is to run release %s, and that is not imported here", n.Machines[i].Name, want)
	} else if want == "" {
		return r, 0, "there is nothing to serve: " + n.Reason
	}
	if i := slices.IndexFunc(n.Releases, func(r NetbootRelease) bool { return r.Release == want }); i >= 0 {
		return n.Releases[i], within, ""
	}
	if why == "" {
		why = "release " + want + " is not imported here"
	}
	return r, 0, why
}
