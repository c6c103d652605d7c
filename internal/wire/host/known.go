package host

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
)

// Sum tells one form of something from every other: the orchestrator makes it of each host and each environment it tells of, and a host
// only keeps and compares it. That of several things together is their sums, combined by exclusive or, so that a change costs what changed.
// 0: nothing.
type Sum uint64

// Known is what a host has of what it may be told: what it asks with for what is new.
type Known struct {
	Work wire.Revision
	// Peers is the revision of the document with the names of all (protocol 1). 0: it has none, or one that came as differences.
	Peers wire.Revision
	Hosts Sum // of the Peers that came as differences (protocol 2)
	// Names are the sums of the environments of each account, "" the platform's, that came as differences (protocol 2). Nil: none did.
	Names map[wire.Account]Sum
	// System is the revision of the wanted System that it has, 0 if it has none. NoSystem: it is of a version that knows nothing of it.
	System wire.Revision
	// Total combines the sums of all accounts, where there are more than a request's header has room for: Names is empty then.
	Total Sum
}

// NoSystem is Known.System of a host that is told of no System.
const NoSystem wire.Revision = -1

// maxKnown is the most accounts a request names: a listener takes 32 KiB of header, an account has at most 40 bytes.
const maxKnown = 300

// Query is k as the query of PathAssigned.
func (k Known) Query() string {
	q := fmt.Sprintf("work=%d&peers=%d", k.Work, k.Peers)
	if k.System != NoSystem {
		q += fmt.Sprintf("&system=%d", k.System)
	}
	if k.Hosts != 0 {
		q += "&hosts=" + k.Hosts.text()
	}
	if k.Names == nil {
		return q
	}
	list, total := make([]string, 0, len(k.Names)), k.Total
	for _, a := range slices.Sorted(maps.Keys(k.Names)) {
		list = append(list, string(a)+"."+k.Names[a].text())
		total ^= k.Names[a]
	}
	if len(list) > maxKnown || k.Total != 0 {
		return q + "&total=" + total.text()
	}
	return q + "&names=" + strings.Join(list, ",")
}

func (s Sum) text() string { return strconv.FormatUint(uint64(s), 36) }

func parseSum(s string) (Sum, error) {
	n, err := strconv.ParseUint(s, 36, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no sum", s)
	}
	return Sum(n), nil
}

// ParseKnown reads a Query. What an agent of protocol 1 does not send is not known to it.
func ParseKnown(q url.Values) (k Known, err error) {
	k.System = NoSystem
	for key, rev := range map[string]*wire.Revision{"work": &k.Work, "peers": &k.Peers, "system": &k.System} {
		if s := q.Get(key); s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n < 0 {
				return Known{}, fmt.Errorf("%s: %q is no revision, send a number from 0 up", key, s)
			}
			*rev = wire.Revision(n)
		}
	}
	for key, sum := range map[string]*Sum{"hosts": &k.Hosts, "total": &k.Total} {
		if s := q.Get(key); s != "" {
			if *sum, err = parseSum(s); err != nil {
				return Known{}, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	if !q.Has("names") && !q.Has("total") {
		return k, nil
	}
	k.Names = map[wire.Account]Sum{}
	if q.Has("total") {
		return k, nil
	}
	for entry := range strings.SplitSeq(q.Get("names"), ",") {
		if entry == "" {
			continue
		}
		name, s, _ := strings.Cut(entry, ".")
		sum, err := parseSum(s)
		if err = errors.Join(err, wire.Account(name).ValidateGiven()); err != nil {
			return Known{}, fmt.Errorf("names: %q: %w", entry, err)
		}
		k.Names[wire.Account(name)] = sum
	}
	return k, nil
}
