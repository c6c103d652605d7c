package cli

import (
	"encoding/json"
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

// fakeTag gives nginx another tag; 1 is another image's.
func fakeTag(w http.ResponseWriter, r *http.Request) {
	var q operator.TagTemplate
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.PathValue("name") != "nginx:1.22" {
		refuse(w, operator.NotFound, "templates/"+r.PathValue("name"), "there is no such template", "see hnctl template list")
		return
	}
	name := wire.TemplateName("nginx:" + q.Tag)
	if q.Tag == "1" && !q.Move {
		refuse(w, operator.Conflict, "templates/"+string(name), "there is another image by this name",
			"choose another tag, or take this one away from that image: hnctl template tag --move")
		return
	}
	reply(w, 200, operator.TemplateDetail{Template: operator.Template{Name: name, State: "ready",
		Digest: wire.Digest("sha256:" + strings.Repeat("ab", 32))}, Others: []wire.TemplateName{"nginx:1.22"}})
}
