package main

import (
	"context"
	"log/slog"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/orchestrator/resolver/proxy"
)

// count says once a minute what was served; nothing when nothing was.
func count(ctx context.Context, log *slog.Logger, front *proxy.Proxy) error {
	last := front.Counters.Read()
	return run.Every(ctx, time.Minute, func(context.Context) error {
		now := front.Counters.Read()
		if now != last {
			log.Info("served", "requests", now.Requests-last.Requests, "retries", now.Retries-last.Retries, "pages", now.Own-last.Own,
				"gone", now.Gone-last.Gone)
		}
		last = now
		return nil
	})
}
