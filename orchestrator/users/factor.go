package users

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// A second factor (TOTP, RFC 6238): 160 bits, six digits, half a minute each, and one before and after for clocks that differ.
const (
	period     = 30
	pendingFor = 15 * time.Minute
	recoveries = 10 // codes of 80 bits
)

var coded = base32.StdEncoding.WithPadding(base32.NoPadding)

// aead seals what must not be read out of a copy of the store.
func (d *Desk) aead() cipher.AEAD {
	block, err := aes.NewCipher(d.Key)
	if err != nil {
		panic("BUG: key of second factors: " + err.Error())
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic("BUG: key of second factors: " + err.Error())
	}
	return a
}

// seal keeps a secret of one user: that of another can't stand in its place.
func (d *Desk) seal(id string, plain []byte) secret.Bytes {
	a := d.aead()
	nonce := make([]byte, a.NonceSize())
	rand.Read(nonce) // never fails (crypto/rand)
	return a.Seal(nonce, nonce, plain, []byte(id))
}

func (d *Desk) open(id string, sealed secret.Bytes) ([]byte, error) {
	a := d.aead()
	if len(sealed) < a.NonceSize() {
		return nil, errors.New("the second factor is not whole")
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(id))
	if err != nil {
		return nil, errors.New("the second factor can't be read: it was sealed with another key of the cluster")
	}
	return plain, nil
}

// stepOf is the step of time that a code is of, and none up to last; 0: it is of none.
func stepOf(key []byte, code string, now time.Time, last int64) int64 {
	is := int64(0)
	for step := now.Unix()/period - 1; step <= now.Unix()/period+1; step++ {
		ok, err := hotp.ValidateCustom(code, uint64(step), coded.EncodeToString(key), hotp.ValidateOpts{Digits: otp.DigitsSix,
			Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok && step > last && is == 0 {
			is = step
		}
	}
	return is
}

// recoveryHash is how a recovery code is known, however it was typed.
func recoveryHash(code string) string {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	sum := sha256.Sum256([]byte("recovery " + code))
	return hex.EncodeToString(sum[:])
}

// pass takes a code of a user's second factor, which is not taken again; without a second factor any will do. u is changed: the
// caller puts it.
func (d *Desk) pass(u *store.User, code secret.Text) bool {
	if u.Factor == nil {
		return true
	}
	f := *u.Factor
	typed := strings.ReplaceAll(strings.TrimSpace(code.Reveal()), " ", "")
	if at := slices.Index(f.Recovery, recoveryHash(typed)); at >= 0 {
		f.Recovery = slices.Delete(slices.Clone(f.Recovery), at, at+1)
		u.Factor = &f
		return true
	}
	key, err := d.open(u.ID, f.Secret)
	if err != nil {
		d.log().Error("a second factor can't be read", "user", u.ID, "err", err)
		return false
	}
	if f.Step = stepOf(key, typed, d.Now(), f.Step); f.Step == 0 {
		return false
	}
	u.Factor = &f
	return true
}

// BeginFactor makes a second factor for a caller, which is not in force before ConfirmFactor.
func (d *Desk) BeginFactor(ctx context.Context, w authz.Who, from string, b user.BeginSecondFactor) (out user.NewSecondFactor, err error) {
	key := make([]byte, 20)
	rand.Read(key)
	err = d.proven(ctx, w, from, b.Password, b.Code, func(_ *store.Tx, u *store.User) error {
		u.Pending = &store.Pending{Secret: d.seal(u.ID, key), Until: d.now().Add(pendingFor)}
		made, err := totp.Generate(totp.GenerateOpts{Issuer: "Hardnode " + d.Cluster, AccountName: u.Mail, Secret: key, Period: period})
		if err != nil {
			return err
		}
		out = user.NewSecondFactor{Secret: secret.Text(made.Secret()), URI: secret.Text(made.URL()), Until: u.Pending.Until}
		return nil
	})
	return out, err
}

// ConfirmFactor puts the second factor that was begun in force, by a code of it, and gives its recovery codes.
func (d *Desk) ConfirmFactor(ctx context.Context, w authz.Who, from string, code secret.Text) (out user.RecoveryCodes, err error) {
	right, p := d.tries.begin(d.Now(), "factor "+w.User, place(from), true)
	if p != nil {
		return out, p
	}
	err = d.change(ctx, w, func(_ *store.Tx, u *store.User) error {
		if u.Pending == nil || !d.Now().Before(u.Pending.Until) {
			return operator.NewProblem(operator.Conflict, "user/second-factor", "none was begun, or it was forgotten",
				"begin one: POST /user/second-factor")
		}
		key, err := d.open(u.ID, u.Pending.Secret)
		if err != nil {
			return err
		}
		step := stepOf(key, strings.ReplaceAll(strings.TrimSpace(code.Reveal()), " ", ""), d.Now(), 0)
		if step == 0 {
			return operator.NewProblem(operator.Invalid, "code", "it is not the code of this moment",
				"see that the clocks are right, and try again")
		}
		u.Factor = &store.Factor{Secret: u.Pending.Secret, Step: step, Since: d.now()}
		u.Pending = nil
		out = recoveryCodes(u.Factor)
		return nil
	})
	if err == nil {
		right()
	}
	return out, err
}

// recoveryCodes makes new ones in place of those there are.
func recoveryCodes(f *store.Factor) (out user.RecoveryCodes) {
	f.Recovery = nil
	for range recoveries {
		raw := make([]byte, 10)
		rand.Read(raw)
		text := coded.EncodeToString(raw)
		f.Recovery = append(f.Recovery, recoveryHash(text))
		out.Codes = append(out.Codes, secret.Text(strings.ToLower(text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])))
	}
	return out
}

// RenewRecovery gives a caller new recovery codes; those that are left of the old ones count no more.
func (d *Desk) RenewRecovery(ctx context.Context, w authz.Who, from string, r user.RenewRecovery) (out user.RecoveryCodes, err error) {
	err = d.proven(ctx, w, from, r.Password, r.Code, func(_ *store.Tx, u *store.User) error {
		if u.Factor == nil {
			return operator.NewProblem(operator.Conflict, "user/second-factor", "there is none", "begin one: POST /user/second-factor")
		}
		f := *u.Factor
		out = recoveryCodes(&f)
		u.Factor = &f
		return nil
	})
	return out, err
}

// EndFactor takes a caller's second factor away.
func (d *Desk) EndFactor(ctx context.Context, w authz.Who, from string, e user.EndSecondFactor) error {
	return d.proven(ctx, w, from, e.Password, e.Code, func(_ *store.Tx, u *store.User) error {
		if u.Factor == nil {
			return operator.NewProblem(operator.Conflict, "user/second-factor", "there is none", "there is nothing to do")
		}
		u.Factor, u.Pending = nil, nil
		return nil
	})
}

// ResetFactor takes away the second factor of a user who lost it, and their sessions with it.
func (d *Desk) ResetFactor(ctx context.Context, who string) error {
	return d.changeOf(ctx, who, func(tx *store.Tx, u *store.User) error {
		u.Factor, u.Pending = nil, nil
		endSessions(tx, u.ID)
		return nil
	})
}
