package shelf

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

func TestGolden(t *testing.T) {
	golden.Kept[operator.Rollout](t, "rollout")
	golden.Kept[rollout.Watch](t, "watch")
}
