package node

import (
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func Table(t *app.Table, nodes []operator.Node) {
	t.Head("CTID", "ENV", "LAYER", "TEMPLATE", "STATE", "HOST", "INTERNAL IP", "EXTERNAL IP", "CLOUDLETS", "MEMORY", "RESTARTS", "NOTE")
	for _, n := range nodes {
		t.Row(n.CTID, n.Env, n.Layer, n.Template, n.State, n.HostName, n.InternalIP, n.ExternalIP,
			fmt.Sprintf("%d-%d", n.Cloudlets.Reserved, n.Cloudlets.Dynamic), fmt.Sprintf("%d MiB", n.MemoryMiB), n.Restarts,
			strings.TrimSpace(n.Note(time.Now())))
	}
}
