package cli

import (
	"net/http"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// metered is what two environments used, the second one up to an hour that is not read yet. What was asked for is the first row's host.
func (f *fake) metered(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("environment") == "nosuch" {
		refuse(w, operator.NotFound, "metering", "this cluster keeps no account of what is used", "hnctl usage enable")
		return
	}
	at := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	out := operator.Usage{Until: at.Add(time.Hour), Notes: []string{"host host-2 was read last at 2026-11-29T10:00:00Z: no route"},
		Items: []operator.UsageRow{
			{Start: at, Account: "alice", Environment: "shop", NodeHours: 2, CloudletHours: 11, ByRAM: 8, ByCPU: 3, ReservedHours: 4,
				BeyondHours: 7, RAMPeak: 900 << 20, RAMPeakAt: at.Add(17 * time.Minute), PeakNode: 101, CPUSeconds: 1800, CPUMHz: 1200.5,
				DiskGiBHours: 2.25, NetOut: 5 << 20},
			{Start: at, Account: "alice", Environment: "stopped", NodeHours: 1, DiskGiBHours: 1}}}
	if q.Get("by") == string(operator.ByHost) {
		out.Items = []operator.UsageRow{{Start: at, Host: q.Get("span") + "/" + q.Get("account") + "/" + q.Get("host") + "/" +
			q.Get("node")}}
	}
	reply(w, 200, out)
}
