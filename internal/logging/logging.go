// Package logging makes every program's log look the same.
//
// Owns: the log's format and the fixed key names.
// In: a writer and a level.
// Out: a *slog.Logger; a nil one handed to a constructor means "discard" (Or).
// Never: decides what is logged, or prints a secret (secret.Text and secret.Bytes hide themselves).
package logging

import (
	"io"
	"log/slog"
	"time"
)

// The fixed keys. A new one is added here, not at the call.
const (
	Host      = "host"
	Env       = "env"
	Container = "container"
	Component = "component"
	Rev       = "rev"
	Op        = "op"
	Step      = "step"
	Reason    = "reason"
	Err       = "err"
	Addr      = "addr"
	Took      = "took"
)

// New logs to w as text: UTC time with milliseconds, level, message, then the keys.
func New(w io.Writer, program string, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case time.Time:
			a.Value = slog.StringValue(v.UTC().Format("2006-01-02T15:04:05.000Z"))
		case time.Duration:
			a.Value = slog.StringValue(v.Round(time.Microsecond).String())
		}
		return a
	}})).With("program", program)
}

// Or is log, or a logger that discards when log is nil.
func Or(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
