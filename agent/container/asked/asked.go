// Package asked keeps the note that a container's first process was asked to end.
//
// To many programs a second stop signal means "end now, leave the rest undone". So a stop that another call goes on with, or the next
// agent, sends no second signal, and has what is left of the first one's time.
//
// Owns: the form of the note, and the rule how long it counts.
// In: the process that was asked, and the time since the kernel's start.
// Out: how much of its time is left.
// Never: sends a signal, or counts for another boot.
package asked

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/agent/container/record"
)

// Note is who was asked, and when. The zero Note is nobody's.
type Note struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	At      int64     `json:"atMs"` // since the kernel's start
}

// Left is how much of all its time the process of rec still has, if it was asked to end before; 0: it was not asked, or that time is over,
// so it is asked now and has all of it. now is the time since the kernel's start.
func (n Note) Left(rec record.Record, all, now time.Duration) time.Duration {
	past := now - time.Duration(n.At)*time.Millisecond
	if n.PID != rec.PID || !n.Started.Equal(rec.Started) || past < 0 || past >= all {
		return 0
	}
	return all - past
}

// Read is the note at path. Where there is none, or a torn one, it is nobody's: the process is asked again.
func Read(path string) (n Note) {
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &n) != nil {
		return Note{}
	}
	return n
}

// Write notes at path that the process of rec was asked now, the time since the kernel's start.
func Write(path string, rec record.Record, now time.Duration) error {
	raw, err := json.Marshal(Note{PID: rec.PID, Started: rec.Started, At: now.Milliseconds()})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}
