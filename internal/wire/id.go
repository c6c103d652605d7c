// Package wire holds the identifiers that every Hardnode dialect shares.
//
// Owns: the distinct types for distinct names (HostID, CTID, Account, Revision, Digest, …) and how each is parsed.
// In: text from YAML, JSON, flags and certificates.
// Out: valid values or an error naming the value and the rule it broke.
// Never: does I/O, or knows what a message means (that is wire/operator, wire/host, wire/boot, wire/jls, wire/jem).
package wire

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/form"
)

// ClusterID names one installation for life: "cl-" and 16 lower-case hex digits, made by `hnctl cluster init`.
type ClusterID string

// HostID names one host's enrolled identity: "h-" and 12 lower-case hex digits, made by the orchestrator at enrolment.
// A host that is removed and joins again gets a new one.
type HostID string

// EnvName is an environment's name, unique in the cluster: a DNS label (RFC 1035) of at most 40 characters.
type EnvName string

// Account is the name of who owns an environment, a token, an operation, a template: a DNS label (RFC 1035) of at most 40 characters.
// What travels or is kept without one was written before there were accounts: Owner says whose it is.
type Account string

// AdminAccount is the account of those who run the cluster: that of the first token, and of the platform itself.
const AdminAccount Account = "admin"

// GroupName names a group of an account's environments: a DNS label of at most 40 characters. "" is that of those that are in none.
type GroupName string

// LayerName is a layer's name, unique in its environment: a DNS label of at most 20 characters.
type LayerName string

// TemplateName names a template in the registry: DNS labels joined by "/", at most 100 characters, optional ":tag".
type TemplateName string

// OperationID names one operation: "op-" and 16 lower-case hex digits.
type OperationID string

// CTID is a container's number: unique in the cluster, never reused. 1–99 belong to the environment "jelastic".
type CTID int64

// FirstUserCTID is the lowest CTID a user's node may get.
const FirstUserCTID CTID = 100

// Revision orders the versions of one document; 0 means "none seen yet". Revisions of different documents don't compare.
type Revision int64

// Digest is "sha256:" and 64 lower-case hex digits (OCI image-spec, descriptor digests).
type Digest string

func (c CTID) String() string     { return strconv.FormatInt(int64(c), 10) }
func (r Revision) String() string { return strconv.FormatInt(int64(r), 10) }

// Hex is the digest's 64 digits without the algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

var (
	label      = form.New(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	template   = form.New(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$`)
	clusterID  = form.New(`^cl-[0-9a-f]{16}$`)
	hostID     = form.New(`^h-[0-9a-f]{12}$`)
	digestForm = form.New(`^sha256:[0-9a-f]{64}$`)
	opID       = form.New(`^op-[0-9a-f]{16}$`)
)

// Forms of texts that documents have, for whoever describes a document.
func Forms() (ofLabel, ofDigest form.Form) { return label, digestForm }

// Label checks that s is a DNS label (RFC 1035: letters, digits and hyphens, starting with a letter) of at most limit characters.
func Label(what, s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("%s: is empty", what)
	case len(s) > limit:
		return fmt.Errorf("%s %q: has %d characters, at most %d are allowed", what, s, len(s), limit)
	case !label.MatchString(s):
		return fmt.Errorf("%s %q: use lower-case letters, digits and hyphens, starting with a letter", what, s)
	}
	return nil
}

// Validate says why n can't name an environment, or nil.
func (n EnvName) Validate() error { return Label("environment name", string(n), 40) }

// JoinEnvNames is several environments in one text, as strings.Join is of strings.
func JoinEnvNames(names []EnvName, sep string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, sep)
}

// Validate says why a can't name an account, or nil.
func (a Account) Validate() error { return Label("account", string(a), 40) }

// ValidateGiven is Validate of what may lack an account.
func (a Account) ValidateGiven() error {
	if a == "" {
		return nil
	}
	return a.Validate()
}

// Owner is a, or AdminAccount where none is given.
func (a Account) Owner() Account { return cmp.Or(a, AdminAccount) }

// Sees tells whether what owner has is there for a caller of account a: each account sees its own, the admins see what is of any, and no
// account sees nothing.
func (a Account) Sees(owner Account) bool {
	return a != "" && (a == AdminAccount || a == owner.Owner())
}

// ValidateGiven says why g can't name a group, or nil.
func (g GroupName) ValidateGiven() error {
	if g == "" {
		return nil
	}
	return Label("group", string(g), 40)
}

// Validate says why n can't name a layer, or nil.
func (n LayerName) Validate() error { return Label("layer name", string(n), 20) }

// Validate says why n can't name a template, or nil.
func (n TemplateName) Validate() error {
	if len(n) > 100 || !template.MatchString(string(n)) {
		return fmt.Errorf("template name %q: use a name such as nginx or nginx:1.22", string(n))
	}
	return nil
}

// Validate says why c is no cluster id, or nil.
func (c ClusterID) Validate() error {
	if !clusterID.MatchString(string(c)) {
		return fmt.Errorf("cluster id %q: want cl- and 16 hex digits", string(c))
	}
	return nil
}

// Validate says why h is no host id, or nil.
func (h HostID) Validate() error {
	if !hostID.MatchString(string(h)) {
		return fmt.Errorf("host id %q: want h- and 12 hex digits", string(h))
	}
	return nil
}

// Validate says why o is no operation id, or nil.
func (o OperationID) Validate() error {
	if !opID.MatchString(string(o)) {
		return fmt.Errorf("operation id %q: want op- and 16 hex digits", string(o))
	}
	return nil
}

// Validate says why d is no digest, or nil.
func (d Digest) Validate() error {
	if !digestForm.MatchString(string(d)) {
		return fmt.Errorf("digest %q: want sha256: and 64 hex digits", string(d))
	}
	return nil
}

// DigestOf makes a Digest from a SHA-256 sum.
func DigestOf(sum [32]byte) Digest { return Digest("sha256:" + hex.EncodeToString(sum[:])) }

// ParseCTID reads a container number as people write it.
func ParseCTID(s string) (CTID, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("container id %q: want a positive number", s)
	}
	return CTID(n), nil
}
