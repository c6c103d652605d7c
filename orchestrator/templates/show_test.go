package templates

import (
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestShown: an account is shown its own templates only, and of their users its own; what was pushed and is none yet is shown by its name.
func TestShown(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d := wire.DigestOf([32]byte{7})
	_, err = st.Update(t.Context(), func(tx *store.Tx) error {
		for name, of := range map[wire.TemplateName]wire.Account{"web:1": "acme", "web:2": "acme", "web:3": "shop"} {
			store.Templates.Put(tx, store.TemplateKey(name), host.Template{Image: host.Image{Name: name, Digest: d, Bytes: 1}, OCI: d,
				Process: host.Process{Argv: []string{"/a"}, UID: 5, GID: 6}, Profile: host.ProfileApp, Account: of,
				Volumes: []host.TemplateVolume{{Path: "/data", NoCOW: true}}})
		}
		for name, of := range map[wire.EnvName]wire.Account{"mine": "acme", "theirs": "shop"} {
			store.Envs.Put(tx, string(name), store.Environment{Account: of, Spec: operator.EnvironmentSpec{Name: name,
				Layers: []operator.LayerSpec{{Name: "cp", Template: "web:1"}}}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed := []host.Import{{Name: "new:1", State: host.ImportFailed, Reason: "is for linux/s390x", Account: "acme"}}
	for _, q := range []struct {
		account wire.Account
		name    string
		want    string // the name shown, its users and its other names; or the problem's code
	}{
		{"acme", "web:1", "web:1 ready 5:6 /data by layer cp of environment mine others web:2"},
		{"acme", "web@" + d.Hex()[:12], "web:1 ready 5:6 /data by layer cp of environment mine others web:2"},
		{"acme", "web:3", "not_found"},
		{"shop", "web:1", "not_found"},
		{"shop", "new:1", "not_found"},
		{"acme", "new:1", "new:1 failed"},
		{"acme", "web:9", "not_found"},
		{"acme", "web@12", "invalid"},
		{wire.AdminAccount, "web:3", "web:3 ready 5:6 /data by layer cp of environment mine others web:1 web:2"},
	} {
		got, err := shown(st.View(), pushed, q.account, q.name)
		text := string(got.Name) + " " + got.State
		if p, ok := err.(*operator.Problem); ok {
			text = string(p.Code)
		} else if got.OCI != "" {
			text += " " + got.User + " " + got.Volumes[0].Path + " by " + strings.Join(got.UsedBy, ", ") + " others"
			for _, o := range got.Others {
				text += " " + string(o)
			}
		}
		if text != q.want {
			t.Errorf("%s asks for %s: got %q (%v), want %q", q.account, q.name, text, err, q.want)
		}
	}
}
