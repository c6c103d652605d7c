// Package front is how the resolver serves an environment's web site, as its owner says it.
//
// Owns: the settings of an environment and of each of its host names, and what they may be.
// In: what people, the store and the resolver's routes say.
// Out: valid settings; an error naming the field and the rule it broke.
// Never: has a certificate or a key in it.
package front

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hardnode.dev/internal/wire"
)

// The limits of Settings and of a Scheme.
const (
	MaxPage    = 64 << 10        // bytes of all pages together
	MaxHSTS    = 2 * 365 * 86400 // seconds
	MaxSource  = 10_000          // requests at once of one address
	MaxWeight  = 100             // of a node, which is what a node has that no Weight names
	MaxNames   = 50              // of an environment, beside its own
	maxWeights = 100             // entries
	maxNode    = 1000            // a node's number in its layer
)

// BypassPath, with the pass behind it, is where a person is let in during maintenance.
const BypassPath = "/.hardnode/bypass/"

// LogName is what an environment's access log is kept as by the resolver: another environment of the same name, created at another moment,
// has another one.
func LogName(env wire.EnvName, since time.Time) string {
	return string(env) + "." + strconv.FormatInt(since.UnixNano(), 16)
}

// PageNames are the pages that an environment may have of its own: for maintenance, while it does not run, and when no node answers.
var PageNames = []string{"maintenance", "down", "error"}

// Settings are of an environment, whatever the name it is asked by.
type Settings struct {
	Maintenance bool           `json:"maintenance,omitempty" doc:"Every request is answered with 503 and the page maintenance, and reaches no node"`
	Sticky      bool           `json:"sticky,omitempty" doc:"A client stays with the node that answered it first, by a signed cookie, as long as that serves"`
	AccessLog   bool           `json:"accessLog,omitempty" doc:"The resolver keeps a line of each request, the last 4 to 8 MiB of them: without query strings, bodies and cookies"`
	PerSource   int            `json:"perSource,omitempty" minimum:"0" maximum:"10000" doc:"Requests that one client's address (IPv6: its /64) may have under way; more are answered with 429. 0: what the resolver gives all"`
	Pages       []Page         `json:"pages,omitempty" maxItems:"3" doc:"Pages instead of the resolver's own"`
	Weights     map[string]int `json:"weights,omitempty" doc:"Shares of nodes of the layer that serves, by their number in it from 1, beside 100 of the others; 0: nothing while another node serves"`
}

// Tag tells s from all other settings, as an ETag (RFC 9110, section 8.8.3).
func (s Settings) Tag() string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("BUG: settings of a site: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// Matches tells whether s is what an If-Match asks for: its Tag, or, with "" and "*", whatever it is.
func (s Settings) Matches(tag string) bool {
	return tag == "" || tag == "*" || strings.TrimPrefix(tag, "W/") == s.Tag()
}

// Page is a page of the environment's own.
type Page struct {
	Name string `json:"name" enum:"maintenance,down,error" doc:"maintenance; down: while it does not run or no node is ready; error: no node answered"`
	HTML string `json:"html" maxLength:"65536" doc:"The whole page, sent as it is to clients that take HTML"`
}

// Validate says which setting is wrong, or nil.
func (s Settings) Validate() error {
	if s.PerSource < 0 || s.PerSource > MaxSource {
		return fmt.Errorf("perSource: %d is out of range: 0 to %d", s.PerSource, MaxSource)
	}
	var seen []string
	sum := 0
	for i, p := range s.Pages {
		sum += len(p.HTML)
		switch {
		case !slices.Contains(PageNames, p.Name):
			return fmt.Errorf("pages[%d]: %q is no page: want one of %s", i, p.Name, strings.Join(PageNames, ", "))
		case slices.Contains(seen, p.Name):
			return fmt.Errorf("pages[%d]: %q is there twice", i, p.Name)
		case p.HTML == "" || sum > MaxPage || !utf8.ValidString(p.HTML):
			return fmt.Errorf("pages[%d] (%s): it has %d bytes: want 1 or more of UTF-8, and %d at most with the pages before it", i,
				p.Name, len(p.HTML), MaxPage)
		}
		seen = append(seen, p.Name)
	}
	if len(s.Weights) > maxWeights {
		return fmt.Errorf("weights: there are %d, at most %d", len(s.Weights), maxWeights)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Weights)) {
		n, err := strconv.Atoi(key)
		if w := s.Weights[key]; err != nil || n < 1 || n > maxNode || strconv.Itoa(n) != key || w < 0 || w > MaxWeight {
			return fmt.Errorf("weights: node %q, weight %d: want a node's number from 1 to %d, and a weight from 0 to %d", key, w, maxNode,
				MaxWeight)
		}
	}
	return nil
}

// Page is the page of that name, or "".
func (s *Settings) Page(name string) string {
	if s != nil {
		for _, p := range s.Pages {
			if p.Name == name {
				return p.HTML
			}
		}
	}
	return ""
}

// Weight is a node's, by its number in the layer.
func (s *Settings) Weight(node int) int {
	if s != nil {
		if w, there := s.Weights[strconv.Itoa(node)]; there {
			return w
		}
	}
	return MaxWeight
}

// Scheme is whether a host name is served over HTTPS only, and whether a certificate is asked for.
type Scheme struct {
	Redirect bool  `json:"redirect,omitempty" doc:"What comes over plain HTTP is answered with 308 to the same address over HTTPS"`
	NoIssue  bool  `json:"noIssue,omitempty" doc:"The CA is not asked for a certificate for it"`
	HSTS     int64 `json:"hsts,omitempty" minimum:"0" maximum:"63072000" doc:"Seconds that browsers remember to come over HTTPS only (Strict-Transport-Security); 0: it isn't sent"`
}

// Validate says which setting is wrong, or nil.
func (n Scheme) Validate() error {
	if n.HSTS < 0 || n.HSTS > MaxHSTS {
		return fmt.Errorf("hsts: %d is out of range: 0 to %d seconds", n.HSTS, MaxHSTS)
	}
	return nil
}
