package licensing

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// timeout is how long one call to the JLS may take.
const timeout = 15 * time.Second

// Client calls one JLS, known by its key.
type Client struct {
	addr string
	key  ed25519.PrivateKey
	http *http.Client
	seq  int64
}

// NewClient calls the JLS at e, which must show the pinned key; requests are signed with the installation's key.
func NewClient(e boot.JLSEndpoint, key ed25519.PrivateKey) *Client {
	return &Client{addr: e.Addr, key: key, http: &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true, // a call a day
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			InsecureSkipVerify: true, // the key is pinned instead, below
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 || identity.Pin(s.PeerCertificates[0]) != e.Pin {
					return errors.New("the licence server shows another key than the pinned one")
				}
				return nil
			},
		},
	}}}
}

// call sends one signed request; make fills it in with the sequence number. A refusal of the server is a *operator.Problem.
func (c *Client) call(ctx context.Context, path string, make func(seq int64) any, into any) error {
	for try := 0; ; try++ {
		c.seq = max(c.seq+1, time.Now().UnixNano())
		signed, err := jls.Seal(path, c.key, make(c.seq))
		if err != nil {
			return err
		}
		raw, err := json.Marshal(signed)
		if err != nil {
			return fmt.Errorf("ask JLS: %v", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.addr+path, bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("ask JLS: %v", err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.http.Do(req)
		if err != nil {
			return fmt.Errorf("ask JLS: %v", err)
		}
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil {
			return fmt.Errorf("ask JLS: %v", err)
		}
		if resp.StatusCode == http.StatusOK {
			if err := neighbour.Decode(answer, into); err != nil {
				return fmt.Errorf("read the JLS's answer: %v", err)
			}
			return nil
		}
		// Our clock is behind what this installation has said before: go on from there, once.
		if last, err := strconv.ParseInt(resp.Header.Get(jls.SeqHeader), 10, 64); err == nil && try == 0 && last >= c.seq {
			c.seq = last
			continue
		}
		var p operator.Problem
		if json.Unmarshal(answer, &p) != nil || p.Reason == "" || resp.StatusCode >= 500 {
			return fmt.Errorf("ask JLS: %s", resp.Status)
		}
		return &p
	}
}

// talk does what is due: activation, the daily lease, the seats.
func (k *Keeper) talk(ctx context.Context) error {
	v := k.Store.View()
	rec, in := k.read(v, k.Now())
	if in.License.ID == "" {
		return nil // nothing to activate: the standing says what is wrong
	}
	err := k.lease(ctx, rec, in)
	if err == nil {
		err = k.seats(ctx, v)
	}
	return k.heard(err)
}

// heard notes how the JLS answered.
func (k *Keeper) heard(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var refusal *operator.Problem
	switch {
	case err == nil:
		k.mu.refused, k.mu.away, k.mu.why = "", time.Time{}, ""
	case errors.As(err, &refusal):
		if k.mu.refused != refusal.Reason {
			logging.Or(k.Log).Warn("the JLS refuses", logging.Reason, refusal.Error())
		}
		k.mu.refused, k.mu.away, k.mu.why = refusal.Reason, time.Time{}, ""
	default:
		if k.mu.away.IsZero() {
			logging.Or(k.Log).Warn("the JLS does not answer; everything goes on", logging.Err, err)
			k.mu.away = k.Now()
		}
		k.mu.why = err.Error()
	}
	k.mu.asked = true
	return err
}

// lease activates the licence, or renews its lease once a day.
func (k *Keeper) lease(ctx context.Context, rec store.Lease, in license.Input) error {
	current := in.Lease.License == in.License.ID && in.Lease.ID != ""
	if current && k.Now().Sub(rec.Renewed) < k.renewAfter() {
		return nil
	}
	var reply jls.LeaseReply
	head := func(seq int64) jls.Head { return jls.Head{Installation: k.Installation(), Seq: seq} }
	var err error
	if current {
		err = k.JLS.call(ctx, jls.PathLease, func(seq int64) any { return jls.Renew{Head: head(seq), Version: build.Version} }, &reply)
	} else {
		text, _ := store.Licenses.Get(k.Store.View(), store.Only)
		err = k.JLS.call(ctx, jls.PathActivate, func(seq int64) any {
			return jls.Activate{Head: head(seq), Key: k.Key.Public().(ed25519.PublicKey), License: text.Text, Cluster: k.Cluster,
				Name: k.Name, Version: build.Version}
		}, &reply)
	}
	if err != nil {
		return err
	}
	// The server's clock judges its own fresh lease: ours may be wrong.
	l, err := license.VerifyLease(reply.Lease, k.Root, string(k.Installation()), k.Key.Public().(ed25519.PublicKey), reply.Now)
	if err != nil {
		return fmt.Errorf("read the JLS's lease: %v", err)
	}
	if l.License != in.License.ID {
		return fmt.Errorf("read the JLS's lease: it is for licence %s, ours is %s", l.License, in.License.ID)
	}
	_, err = k.Store.Update(ctx, func(tx *store.Tx) error {
		now, _ := store.Leases.Read(tx, store.Only)
		now.Token, now.Renewed = reply.Lease, k.Now().UTC().Truncate(time.Second)
		store.Leases.Put(tx, store.Only, now)
		return nil
	})
	if err == nil {
		logging.Or(k.Log).Info("the JLS gave a lease", "until", l.Expires, "licence", l.License)
	}
	return err
}

// renewAfter spreads the installations of the world over a quarter of the day; each keeps its place.
func (k *Keeper) renewAfter() time.Duration {
	sum := sha256.Sum256([]byte(k.Installation()))
	return license.RenewEvery - time.Duration(int(sum[0])*int(license.RenewEvery/4)/255)
}

// seats reports the user hosts when they changed, and once a day.
func (k *Keeper) seats(ctx context.Context, v *store.View) error {
	hosts := store.Hosts.All(v)
	slices.SortFunc(hosts, func(a, b store.Host) int { return cmp.Compare(a.Order, b.Order) })
	list := []jls.Seat{}
	for _, h := range hosts {
		if h.Role == host.RoleUser {
			list = append(list, jls.Seat{Host: h.ID, Name: h.Name, Fingerprint: k.fingerprint(h.Hardware)})
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode seats: %v", err)
	}
	k.mu.Lock()
	due := k.mu.seats != string(raw) || k.Now().After(k.mu.over)
	k.mu.Unlock()
	if !due {
		return nil
	}
	var reply jls.SeatsReply
	if err := k.JLS.call(ctx, jls.PathSeats, func(seq int64) any {
		return jls.Seats{Head: jls.Head{Installation: k.Installation(), Seq: seq}, Hosts: list}
	}, &reply); err != nil {
		return err
	}
	k.mu.Lock()
	k.mu.seats, k.mu.over = string(raw), k.Now().Add(license.RenewEvery)
	k.mu.Unlock()
	logging.Or(k.Log).Info("seats reported to the JLS", "used", reply.Used, "allowed", reply.Allowed)
	return nil
}

// fingerprint is what tells a machine apart, salted by the installation: the JLS can count machines, not know them.
func (k *Keeper) fingerprint(h host.Hardware) string {
	if h.UUID == "" && len(h.MACs) == 0 {
		return ""
	}
	macs := slices.Clone(h.MACs)
	slices.Sort(macs)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", k.Installation(), h.UUID, macs))
	return hex.EncodeToString(sum[:])
}
