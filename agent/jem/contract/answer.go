package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/file"
	"hardnode.dev/internal/wire/jem"
)

// answer is what is kept of a call that was done, under its key. A call that failed is not kept: it may be tried again under its key.
type answer struct {
	Call  string    `json:"call"` // a digest of module, action and arguments
	When  time.Time `json:"when"`
	Reply jem.Reply `json:"reply"`
}

// The limits of kept answers.
const (
	answersFor = 24 * time.Hour
	maxAnswers = 100
)

func (c *Call) answerPath() string {
	sum := sha256.Sum256([]byte(c.Told.Key))
	return filepath.Join(c.Root, StateDir, "answers", hex.EncodeToString(sum[:])+".json")
}

// digest tells calls apart. What is sent along does not count.
func (c *Call) digest() string {
	h := sha256.New()
	for _, s := range append([]string{c.module.Name, c.action.Name}, c.Args...) {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// keptAnswer is true if the call was done already under its key: Reply is that answer.
func (c *Call) keptAnswer() (bool, error) {
	if c.Told.Key == "" {
		return false, nil
	}
	f, err := os.OpenFile(c.answerPath(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, noState(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 2*jem.MaxReply))
	var a answer
	if err != nil || json.Unmarshal(raw, &a) != nil || c.Now().Sub(a.When) > answersFor {
		return false, nil // spoiled or old: as if it were not there
	}
	if a.Call != c.digest() {
		return false, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("the key %q was used for another call", c.Told.Key),
			Next: "use a new key for each thing to be done"}
	}
	c.Reply, c.Reply.Again = a.Reply, true
	return true, nil
}

// keepAnswer keeps Reply under the call's key.
func (c *Call) keepAnswer() error {
	if c.Told.Key == "" {
		return nil
	}
	dir := filepath.Dir(c.answerPath())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return noState(err)
	}
	dropAnswers(dir, c.Now())
	raw, err := json.Marshal(answer{c.digest(), c.Now().UTC(), c.Reply})
	if err != nil {
		return err
	}
	return file.Write(c.answerPath(), raw, file.Owned{Mode: 0o600})
}

// dropAnswers takes away what is old or too much.
func dropAnswers(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type kept struct {
		path string
		when time.Time
	}
	var all []kept
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			all = append(all, kept{filepath.Join(dir, e.Name()), st.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return b.when.Compare(a.when) })
	for i, k := range all {
		if i >= maxAnswers-1 || now.Sub(k.when) > answersFor {
			os.Remove(k.path)
		}
	}
}
