// Package passkeys speaks with the browsers that make passkeys and sign in with them (Web Authentication, Level 3).
//
// Owns: the domain that passkeys are for; challenges that wait for their answer, in memory.
// In: the panel's address, as those who run the cluster named it; what a browser brings back for a challenge.
// Out: what a browser is asked; a passkey, or whose passkey signed, once everything about that is right.
// Never: keeps a passkey or lets anybody in (orchestrator/users does), believes an answer to a challenge that another browser was given, or
// takes one from somebody whom their authenticator did not check.
package passkeys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// MaxAnswer is how long an answer of a browser may be, in bytes.
const MaxAnswer = 32 << 10

// maxCredential is how long the id of a credential may be, in bytes (Web Authentication, section 4).
const maxCredential = 1023

// Desk keeps the challenges. Errors of it are Problems.
type Desk struct {
	Store   *store.Store
	Cluster string // its name, as authenticators show it
	Now     func() time.Time
	Log     *slog.Logger

	flows flows
}

// site is where passkeys are made and used.
type site struct {
	rp     string // the domain that they are for
	origin string // https://host[:port], as browsers say it
}

// siteOf is the site of a panel's address. An address without a name is none: passkeys are for domains.
func siteOf(panel string) (s site, ok bool) {
	u, err := url.Parse(panel)
	if err != nil || u.Scheme != "https" {
		return s, false
	}
	s.rp = strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(s.rp); err == nil || protocol.ValidateRPID(s.rp) != nil {
		return s, false
	}
	s.origin = "https://" + s.rp
	if port := u.Port(); port != "" && port != "443" {
		s.origin += ":" + port
	}
	return s, true
}

// site is that of the panel's address: the one that mails lead to, or else the one that the identity provider leads back to.
func (d *Desk) site() (site, bool) {
	v := d.Store.View()
	if s, ok := siteOf(mail.Panel(v)); ok {
		return s, true
	}
	if rec := store.OIDCs.Find(v, store.Only); rec != nil {
		return siteOf(rec.Panel)
	}
	return site{}, false
}

// Origin is where passkeys are made and used (https://host[:port]), "" while the panel has no address with a name.
func (d *Desk) Origin() string {
	s, _ := d.site()
	return s.origin
}

// party is the library's side of a site. What authenticators say of themselves is not asked for: any may be used that checks its user.
func (d *Desk) party(s site) (*webauthn.WebAuthn, error) {
	asked := true
	return webauthn.New(&webauthn.Config{RPID: s.rp, RPDisplayName: "Hardnode " + d.Cluster, RPOrigins: []string{s.origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{RequireResidentKey: &asked,
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired},
		Timeouts: webauthn.TimeoutsConfig{Login: webauthn.TimeoutConfig{Timeout: flowFor, TimeoutUVD: flowFor},
			Registration: webauthn.TimeoutConfig{Timeout: flowFor, TimeoutUVD: flowFor}},
	})
}

// kinds are the signatures that are taken.
var kinds = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// holder is a user, to the library. Their handle is their id, which says nothing of them.
type holder struct {
	id, mail, name string
	keys           []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.id) }
func (h holder) WebAuthnName() string                       { return h.mail }
func (h holder) WebAuthnDisplayName() string                { return h.name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// credential is a passkey, to the library. Of its flags only the one that never changes is compared.
func credential(p store.Passkey) webauthn.Credential {
	c := webauthn.Credential{ID: p.Credential, PublicKey: p.Key, Flags: webauthn.CredentialFlags{BackupEligible: p.Synced},
		Authenticator: webauthn.Authenticator{SignCount: p.Count}}
	for _, t := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
	}
	return c
}

// none is the answer while passkeys can't be used.
func none() *operator.Problem {
	return operator.NewProblem(operator.NotFound, "passkey", "the panel has no address with a name that passkeys could be for",
		"sign in with your password; those who run the cluster name the panel: hnctl cluster mail set --panel")
}

// denied is an answer that is not right.
func denied(reason, next string) *operator.Problem {
	p := operator.NewProblem(operator.Denied, "passkey", reason, next)
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return p
}

const again = "begin again, and let your device check that it is you"

// begun keeps a challenge, and is what the browser is asked.
func (d *Desk) begun(fl *flow, from string, ask any) ([]byte, error) {
	fl.place, fl.begun = limit.Key(limit.Addr(from)).String(), d.Now()
	d.flows.put(fl, fl.begun)
	return json.Marshal(ask)
}

// BeginSignIn is what a browser is asked by which somebody signs in (JSON). browser is what only it knows, hashed.
func (d *Desk) BeginSignIn(from, browser string) ([]byte, error) {
	s, ok := d.site()
	if !ok {
		return nil, none()
	}
	party, err := d.party(s)
	if err != nil {
		return nil, err
	}
	ask, session, err := party.BeginDiscoverableLogin()
	if err != nil {
		return nil, err
	}
	return d.begun(&flow{browser: browser, site: s, session: *session}, from, ask)
}

// Used is whose passkey signed.
type Used struct {
	Key   string // of its record
	User  string // id
	Count uint32 // how often it has signed, as it says; 0: it does not count
}

// taken is the challenge that an answer is for.
func (d *Desk) taken(challenge, browser, user string) (*flow, *webauthn.WebAuthn, error) {
	fl := d.flows.take(challenge, browser, user, d.Now())
	if fl == nil {
		return nil, nil, denied("its challenge was not given to this browser, was used, or is older than "+flowFor.String(), again)
	}
	if s, ok := d.site(); !ok || s != fl.site {
		return nil, nil, denied("the panel's address was changed meanwhile", again)
	}
	party, err := d.party(fl.site)
	return fl, party, err
}

// FinishSignIn is whose passkey signed the challenge, of what a browser brings back.
func (d *Desk) FinishSignIn(browser string, answer []byte) (u Used, err error) {
	if len(answer) > MaxAnswer {
		return u, denied("the browser's answer is too long", again)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return u, d.refused("the browser's answer can't be read", err)
	}
	fl, party, err := d.taken(parsed.Response.CollectedClientData.Challenge, browser, "")
	if err != nil {
		return u, err
	}
	if !parsed.Response.AuthenticatorData.Flags.HasUserVerified() {
		return u, unverified()
	}
	unknown := errors.New("no such passkey")
	_, _, err = party.ValidatePasskeyLogin(func(id, handle []byte) (webauthn.User, error) {
		p := store.Passkeys.Find(d.Store.View(), store.PasskeyKey(id))
		if p == nil || !bytes.Equal(p.Credential, id) || p.RP != fl.site.rp || p.User != string(handle) {
			return nil, unknown
		}
		u.Key, u.User = store.PasskeyKey(id), p.User
		return holder{id: p.User, keys: []webauthn.Credential{credential(*p)}}, nil
	}, fl.session, parsed)
	if err != nil {
		if u.Key == "" {
			return Used{}, denied("this passkey is no user's here: it was removed, or is for another cluster",
				"sign in with your password; /panel/you adds a passkey")
		}
		return Used{}, d.refused("the passkey's answer is not right", err)
	}
	u.Count = parsed.Response.AuthenticatorData.Counter
	return u, nil
}

func unverified() *operator.Problem {
	return denied("your device did not check that it is you (user verification), so that the passkey does not count",
		"use one that asks for a finger, a face or a PIN")
}

// refused is a Problem of what the library says, whose details go to the log.
func (d *Desk) refused(reason string, err error) *operator.Problem {
	var p *protocol.Error
	if errors.As(err, &p) {
		logging.Or(d.Log).Warn("a passkey was refused", logging.Reason, reason, logging.Err, p.Details+": "+p.DevInfo)
	} else {
		logging.Or(d.Log).Warn("a passkey was refused", logging.Reason, reason, logging.Err, err)
	}
	return denied(reason, again)
}

// BeginAdd is what a browser is asked by which a user has a passkey made (JSON). proof is of that they proved who they are.
func (d *Desk) BeginAdd(from, browser string, u user.User, proof, name string) ([]byte, error) {
	s, ok := d.site()
	if !ok {
		return nil, none()
	}
	party, err := d.party(s)
	if err != nil {
		return nil, err
	}
	h := holder{id: u.ID, mail: u.Mail, name: u.Name}
	if h.name == "" {
		h.name = u.Mail
	}
	has := webauthn.Credentials{}
	for p := range store.PasskeysOf.Of(d.Store.View(), u.ID) {
		if p.RP == s.rp {
			has = append(has, credential(p))
		}
	}
	ask, session, err := party.BeginRegistration(h, webauthn.WithCredentialParameters(kinds),
		webauthn.WithExclusions(has.CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	return d.begun(&flow{browser: browser, site: s, session: *session, user: u.ID, proof: proof, name: name}, from, ask)
}

// FinishAdd is the passkey that a user's browser brings back, which is the user's once it is kept by proof.
func (d *Desk) FinishAdd(browser, id string, answer []byte) (made store.Passkey, proof string, err error) {
	if len(answer) > MaxAnswer {
		return made, "", denied("the browser's answer is too long", again)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return made, "", d.refused("the browser's answer can't be read", err)
	}
	fl, party, err := d.taken(parsed.Response.CollectedClientData.Challenge, browser, id)
	if err != nil {
		return made, "", err
	}
	if !parsed.Response.AttestationObject.AuthData.Flags.HasUserVerified() {
		return made, "", unverified()
	}
	c, err := party.CreateCredential(holder{id: id}, fl.session, parsed)
	if err != nil {
		return made, "", d.refused("the passkey's answer is not right", err)
	}
	if len(c.ID) == 0 || len(c.ID) > maxCredential {
		return made, "", denied("the passkey's id is empty or too long", again)
	}
	made = store.Passkey{User: id, RP: fl.site.rp, Credential: c.ID, Key: c.PublicKey, Count: c.Authenticator.SignCount,
		Transports: transports(c.Transport), Synced: c.Flags.BackupEligible, Name: fl.name}
	if slices.ContainsFunc(c.Authenticator.AAGUID, func(b byte) bool { return b != 0 }) {
		made.AAGUID = hex.EncodeToString(c.Authenticator.AAGUID)
	}
	return made, fl.proof, nil
}

// transports are those that are known (section 5.8.4): a browser may say anything.
func transports(said []protocol.AuthenticatorTransport) (out []string) {
	for _, t := range []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid,
		protocol.Internal} {
		if slices.Contains(said, t) {
			out = append(out, string(t))
		}
	}
	return out
}
