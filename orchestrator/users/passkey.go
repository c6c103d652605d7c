package users

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/passkeys"
	"hardnode.dev/orchestrator/store"
)

// wentBack tells whether a passkey's count of its signatures is one that it can't have, so that there may be another of it (Web
// Authentication, section 6.1.1). One that does not count says 0 all the time.
func wentBack(kept, said uint32) bool { return said <= kept && (said != 0 || kept != 0) }

// passkeyNamed says what is wrong with a passkey's name.
func passkeyNamed(name string) *operator.Problem {
	reason := ""
	if name == "" || len(name) > user.MaxPasskeyName {
		reason = fmt.Sprintf("the name has %d bytes; want 1 to %d", len(name), user.MaxPasskeyName)
	} else if err := account.ValidateTitle("name", name); err != nil {
		reason = err.Error()
	}
	if reason == "" {
		return nil
	}
	return operator.NewProblem(operator.Invalid, "name", reason, "call it what you know it by, such as laptop")
}

// passkeysFull is nil while a user may have one more.
func passkeysFull(v *store.View, id string) *operator.Problem {
	n := 0
	for range store.PasskeysOf.Of(v, id) {
		n++
	}
	if n < user.MaxPasskeys {
		return nil
	}
	return operator.NewProblem(operator.Conflict, "user/passkeys", fmt.Sprintf("you have %d passkeys, and no user has more", n),
		"remove one that you don't use")
}

// endPasskeys has nobody sign in as a user by a passkey.
func endPasskeys(tx *store.Tx, id string) (ended int) {
	for p := range store.PasskeysOf.Of(tx.View(), id) {
		store.Passkeys.Delete(tx, store.PasskeyKey(p.Credential))
		ended++
	}
	return ended
}

// tell writes to a user, if it can be: their own page and the record tell of it all the same.
func (d *Desk) tell(tx *store.Tx, l mail.Letter) {
	if !d.mails(tx.View()) {
		return
	}
	if err := d.Mail.Queue(tx, l); err != nil {
		d.log().Warn("a mail to a user on their passkeys was not written", "subject", l.Subject, logging.Err, err)
	}
}

// Passkeys are a caller's own, by name.
func (d *Desk) Passkeys(w authz.Who) []user.Passkey {
	out := []user.Passkey{}
	for p := range store.PasskeysOf.Of(d.Store.View(), w.User) {
		out = append(out, user.Passkey{ID: p.ID, Name: p.Name, Domain: p.RP, Synced: p.Synced, Transports: p.Transports, Model: p.AAGUID,
			Made: p.Made, Last: p.Last})
	}
	slices.SortFunc(out, func(a, b user.Passkey) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out
}

// ProvePasskey is nil when a caller, who wants a passkey of a name, proves again who they are, and may have one more. proof is good for
// AddPasskey, until the password is another one.
func (d *Desk) ProvePasskey(ctx context.Context, w authz.Who, from, name string, text, code secret.Text) (proof string, err error) {
	if p := passkeyNamed(name); p != nil {
		return "", p
	}
	return proof, d.proven(ctx, w, from, text, code, func(tx *store.Tx, u *store.User) error {
		if p := passkeysFull(tx.View(), u.ID); p != nil {
			return p
		}
		proof = proofOf(u)
		return nil
	})
}

// AddPasskey keeps the passkey of a user who has proven who they are.
func (d *Desk) AddPasskey(ctx context.Context, proof string, p store.Passkey) error {
	raw := make([]byte, 4)
	rand.Read(raw) // never fails (crypto/rand)
	p.ID, p.Made = "pk-"+hex.EncodeToString(raw), d.now()
	return d.changeOf(ctx, p.User, func(tx *store.Tx, u *store.User) error {
		if proof != proofOf(u) {
			return operator.NewProblem(operator.Denied, "user/passkeys", "your password was changed meanwhile", "begin again")
		}
		key := store.PasskeyKey(p.Credential)
		if _, ok := store.Passkeys.Read(tx, key); ok { // of two who bring one, one has it
			return operator.NewProblem(operator.Conflict, "user/passkeys", "this passkey is a user's already", "make another one")
		}
		if p := passkeysFull(tx.View(), u.ID); p != nil {
			return p
		}
		u.Made++ // of two at once, the second counts the first
		store.Passkeys.Put(tx, key, p)
		d.tell(tx, d.passkeyAdded(u.Mail, p))
		return nil
	})
}

// ownPasskey is a caller's passkey by its id.
func ownPasskey(tx *store.Tx, of, id string) (store.Passkey, *operator.Problem) {
	for p := range store.PasskeysOf.Of(tx.View(), of) {
		if p.ID == id {
			if rec, ok := store.Passkeys.Read(tx, store.PasskeyKey(p.Credential)); ok {
				return rec, nil
			}
		}
	}
	return store.Passkey{}, operator.NewProblem(operator.NotFound, "user/passkeys/"+id, "you have no such passkey",
		"GET /user/passkeys lists yours")
}

// RenamePasskey gives a caller's passkey another name.
func (d *Desk) RenamePasskey(ctx context.Context, w authz.Who, id, name string) error {
	if p := passkeyNamed(name); p != nil {
		return p
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		rec, p := ownPasskey(tx, w.User, id)
		if p != nil {
			return p
		}
		rec.Name = name
		store.Passkeys.Put(tx, store.PasskeyKey(rec.Credential), rec)
		return nil
	})
	return err
}

// RemovePasskey takes a caller's passkey away. It takes their password, so nobody is left without a way in.
func (d *Desk) RemovePasskey(ctx context.Context, w authz.Who, from, id string, r user.RemovePasskey) error {
	return d.proven(ctx, w, from, r.Password, r.Code, func(tx *store.Tx, u *store.User) error {
		rec, p := ownPasskey(tx, u.ID, id)
		if p != nil {
			return p
		}
		store.Passkeys.Delete(tx, store.PasskeyKey(rec.Credential))
		d.tell(tx, d.passkeyGone(u.Mail, fmt.Sprintf("The passkey %q", rec.Name)))
		return nil
	})
}

// ResetPasskeys takes all passkeys of a user away, and ends their sessions.
func (d *Desk) ResetPasskeys(ctx context.Context, who string) error {
	return d.changeOf(ctx, who, func(tx *store.Tx, u *store.User) error {
		u.Made++ // one that is added at this moment goes too, or comes after
		if endPasskeys(tx, u.ID) > 0 {
			d.tell(tx, d.passkeyGone(u.Mail, "Each passkey"))
		}
		endSessions(tx, u.ID)
		return nil
	})
}

// unknownPasskey is the answer to a passkey that was taken away at this moment, or whose user is not there any more.
func unknownPasskey() *operator.Problem {
	p := operator.NewProblem(operator.Denied, "passkey", "this passkey is no user's here any more", "sign in with your password")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return p
}

// SignInPasskey begins a session of whose passkey signed. It counts as both factors: who has it was checked by what keeps it. A passkey
// whose count went back lets nobody in, on record and told to its user.
func (d *Desk) SignInPasskey(ctx context.Context, used passkeys.Used, of wire.Account, from, kind string) (out user.SignedIn, err error) {
	leave, p := d.entered(from)
	if p != nil {
		return out, p
	}
	defer leave()
	var back *store.Passkey
	var u store.User
	_, err = d.Store.Update(ctx, func(tx *store.Tx) (err error) {
		back = nil
		rec, ok := store.Passkeys.Read(tx, used.Key)
		if !ok || rec.User != used.User {
			return unknownPasskey()
		}
		seen, ok := find(tx.View(), used.User)
		if !ok || seen.ID != used.User {
			return unknownPasskey()
		}
		if u, ok = store.Users.Read(tx, store.UserKey(seen.Mail)); !ok || u.ID != used.User || u.Service {
			return unknownPasskey()
		}
		if wentBack(rec.Count, used.Count) {
			back = &rec
			d.tell(tx, d.passkeyTwice(u.Mail, rec, from))
			return nil
		}
		rec.Count, rec.Last = used.Count, d.now()
		store.Passkeys.Put(tx, used.Key, rec)
		out, err = d.enter(tx, u, of, from, kind)
		return err
	})
	if err != nil || back == nil {
		return out, err
	}
	reason := fmt.Sprintf("the passkey %q says that it has signed %d times, and it had signed %d times before", back.Name, used.Count,
		back.Count)
	for _, m := range u.Members {
		d.record(operator.Audit{Who: u.Mail, User: u.ID, Account: m.Name, From: from, What: "user.passkey.count",
			Object: "users/" + u.ID + "/passkeys/" + back.ID, Result: "refused: " + reason})
	}
	refused := operator.NewProblem(operator.Denied, "passkey", reason+", so that there may be a copy of it",
		"sign in with your password, remove the passkey and make a new one")
	refused.Status, refused.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return user.SignedIn{}, refused
}
