package cli

import (
	"net/http"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// fakeTemplate answers what one template is: postgresql is one, big is being imported.
func fakeTemplate(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("name") {
	case "postgresql":
		d := wire.Digest("sha256:" + strings.Repeat("ab", 32))
		reply(w, 200, operator.TemplateDetail{Template: operator.Template{Name: "postgresql:latest", Account: "admin", Bytes: 60 << 20,
			Digest: d, State: "ready", Process: []string{"hardnode-postgresql"}, Notes: []string{"left out: /dev/console"}},
			OCI: d, Profile: "app", User: "100:102", Stop: "SIGINT", StopAfter: 60, CheckPort: 5432,
			Volumes: []operator.TemplateVolume{{Path: "/var/lib/postgresql", NoDataCOW: true}, {Path: "/backup"}},
			Others:  []wire.TemplateName{"postgresql:15"},
			UsedBy:  []string{"layer sqldb of environment shop", "node 104 of environment shop"}})
	case "big":
		reply(w, 200, operator.TemplateDetail{Template: operator.Template{Name: "big:latest", Account: "admin", State: "importing",
			Percent: 40}})
	default:
		refuse(w, operator.NotFound, "templates/"+r.PathValue("name"), "there is no such template", "see hnctl template list")
	}
}
