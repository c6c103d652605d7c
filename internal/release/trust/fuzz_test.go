package trust_test

import (
	"context"
	"testing"

	"hardnode.dev/internal/release/trust"
)

// FuzzMetadata: whatever a mirror sends in place of one file, the look ends in a Repo or a Refusal.
func FuzzMetadata(f *testing.F) {
	t := &testing.T{}
	r := newRepository(t, trust.Image, "")
	r.publish(file("1.0.0/host.efi", "one", "1.0.0"))
	names := []string{"1.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "2.root.json"}
	for i, n := range names {
		f.Add(i, r.files[n])
	}
	f.Add(1, []byte(`{"signed":{"_type":"timestamp","meta":{"snapshot.json":null}}}`))
	f.Add(4, []byte(`{"signed":{"_type":"root","keys":{"a":null},"roles":{"root":{}}}}`))
	f.Fuzz(func(t *testing.T, which int, raw []byte) {
		files := r.copied()
		files[names[uint(which)%uint(len(names))]] = raw
		for _, kept := range []trust.Kept{{}, {Pin: r.pin(), Root: raw, Timestamp: raw, Snapshot: raw, Targets: raw}} {
			trust.Refresh(context.Background(), files, r.anchor(), kept, now)
		}
	})
}
