// Package challenge shows at a terminal that somebody holds a private key, by a few letters that a person can type.
//
// Owns: the scheme: the host makes an X25519 key (RFC 7748) for one question and shows its public half; who holds the private half of the
// key in the host's configuration answers with 60 bits that only the two can compute (HKDF of RFC 5869 over the shared secret, bound to
// both keys and the host's name).
// In: keys as text; a challenge; an answer that somebody typed.
// Out: challenges, answers; whether one is the other's.
// Never: keeps a private key, sends anything, or counts guesses: whoever asks does that.
package challenge

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// The forms: base32 (RFC 4648, section 6) without padding behind a prefix that tells the halves apart.
const (
	publicPrefix  = "hncp1."
	privatePrefix = "hncs1."
	answerLetters = 12
)

var code = base32.StdEncoding.WithPadding(base32.NoPadding)

// The errors of who typed; what was typed is not in them.
var (
	ErrPublic    = errors.New("want the public key that `hnctl host config console-key` prints: hncp1. and 52 letters")
	ErrPrivate   = errors.New("want the file that `hnctl host config console-key` wrote: hncs1. and 52 letters")
	ErrChallenge = errors.New("want the 52 letters that the host's terminal shows")
)

// NewKey makes a pair: the private half stays with the admin, the public one goes into hosts' configurations.
func NewKey() (private, public string) {
	k := generated()
	return privatePrefix + code.EncodeToString(k.Bytes()), publicPrefix + code.EncodeToString(k.PublicKey().Bytes())
}

func generated() *ecdh.PrivateKey {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic("BUG: no key: " + err.Error()) // crypto/rand never fails
	}
	return k
}

// Public checks a public key of a configuration.
func Public(text string) error {
	_, err := public(text)
	return err
}

func public(text string) (*ecdh.PublicKey, error) {
	letters, ok := strings.CutPrefix(text, publicPrefix)
	raw, err := code.DecodeString(letters)
	if !ok || err != nil || code.EncodeToString(raw) != letters {
		return nil, ErrPublic
	}
	k, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, ErrPublic
	}
	return k, nil
}

// Asked is a question that waits for its answer, once.
type Asked struct {
	Text string // what is shown
	want []byte
}

// Ask makes a question for whoever holds the private half of that key, at the host of that name.
func Ask(key, host string) (*Asked, error) {
	to, err := public(key)
	if err != nil {
		return nil, err
	}
	mine := generated()
	want, err := answer(mine, to, mine.PublicKey(), to, host)
	if err != nil {
		return nil, ErrPublic // a point of small order
	}
	return &Asked{Text: code.EncodeToString(mine.PublicKey().Bytes()), want: want}, nil
}

// Is tells whether what was typed is the answer. Small letters, spaces and dashes are those of a person.
func (a *Asked) Is(typed string) bool { return subtle.ConstantTimeCompare(letters(typed), a.want) == 1 }

// Answer is what the holder of a private key types at the host of that name, in groups of four.
func Answer(private, host, challenge string) (string, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(private), privatePrefix)
	raw, err := code.DecodeString(text)
	if !ok || err != nil {
		return "", ErrPrivate
	}
	mine, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return "", ErrPrivate
	}
	raw, err = code.DecodeString(string(letters(challenge)))
	if err != nil {
		return "", ErrChallenge
	}
	from, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return "", ErrChallenge
	}
	out, err := answer(mine, from, from, mine.PublicKey(), host)
	if err != nil {
		return "", ErrChallenge
	}
	return fmt.Sprintf("%s-%s-%s", out[:4], out[4:8], out[8:]), nil
}

// answer is what both ends compute: asked is the question's key, key that of the configuration.
func answer(mine *ecdh.PrivateKey, other, asked, key *ecdh.PublicKey, host string) ([]byte, error) {
	shared, err := mine.ECDH(other)
	if err != nil {
		return nil, err
	}
	info := "hardnode console challenge 1\x00" + string(asked.Bytes()) + string(key.Bytes()) + host
	out, err := hkdf.Key(sha256.New, shared, nil, info, 8)
	if err != nil {
		return nil, err
	}
	return []byte(code.EncodeToString(out)[:answerLetters]), nil
}

func letters(typed string) []byte {
	return []byte(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(typed)))
}
