package machine

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// savedTime is the last time a host knew, in Unix seconds: a machine without a clock of its own must not go back behind certificates.
type savedTime struct {
	Unix int64 `json:"unix"`
}

var clockDoc = keep.Doc[savedTime]{Path: boot.StateDir + "/clock.json", Version: 1}

// later is the clock's new value: never before the floors; the zero time when now is fine.
func later(now time.Time, floors ...time.Time) time.Time {
	best := now
	for _, f := range floors {
		if f.After(best) {
			best = f
		}
	}
	if best.Equal(now) {
		return time.Time{}
	}
	return best
}

func raise(floors ...time.Time) (string, error) {
	t := later(time.Now(), floors...)
	if t.IsZero() {
		return time.Now().UTC().Format(time.RFC3339), nil
	}
	return "was behind; set to " + t.UTC().Format(time.RFC3339), sys.SetClock(t)
}

func (m *Machine) stepClock(context.Context) (string, error) { return raise(build.When()) }

// stepSavedTime raises the clock to the last saved time and goes on saving it.
func (m *Machine) stepSavedTime(context.Context) (string, error) {
	doc, _, err := clockDoc.Load()
	if err != nil {
		return "", err
	}
	note, err := raise(time.Unix(doc.Unix, 0))
	m.tasks <- run.Task{Name: "save time", Run: func(ctx context.Context) error {
		return run.Every(ctx, 10*time.Minute, func(context.Context) error {
			if err := saveTime(); err != nil {
				m.con.Line("save time: %v", err)
			}
			return nil
		})
	}}
	m.tasks <- run.Task{Name: "note that it runs", Run: m.seen}
	return note, err
}

func saveTime() error {
	if err := clockDoc.Save(savedTime{time.Now().Unix()}); err != nil {
		return fmt.Errorf("save the time: %w", err)
	}
	return nil
}
