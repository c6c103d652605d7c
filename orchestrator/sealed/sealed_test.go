package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
)

var keys = Variables{certs.Sealer(bytes.Repeat([]byte("k"), 32))}

func value(s string) *secret.Text { t := secret.Text(s); return &t }

func spec(secrets ...operator.SecretSpec) operator.EnvironmentSpec {
	return operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{{Name: "cp", Secrets: secrets}}}
}

// A value goes in, is in nothing that is stored or shown, and comes out for the host alone.
func TestSealedAndOpened(t *testing.T) {
	given := spec(operator.SecretSpec{Name: "PASSWORD", Value: value("hunter2")}, operator.SecretSpec{Name: "EMPTY", Value: value("")})
	kept, err := keys.Seal("ann", given, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(kept)
	if s := string(raw) + fmt.Sprintf("%+v", kept); strings.Contains(s, "hunter2") || strings.Contains(s, "aHVudGVyM") {
		t.Fatalf("the value is stored: %s", s)
	}
	if given.Layers[0].Secrets[0].Name != "PASSWORD" || given.Layers[0].Secrets[0].Value == nil {
		t.Errorf("what was given is another one now: %+v", given)
	}
	same, err := keys.Seal("ann", spec(operator.SecretSpec{Name: "EMPTY"}, operator.SecretSpec{Name: "PASSWORD"}), &kept)
	if err != nil || !reflect.DeepEqual(same, kept) {
		t.Errorf("kept: %+v, %v; want %+v", same, err, kept)
	}
	again, err := keys.Seal("ann", given, &kept)
	if err != nil || !reflect.DeepEqual(again, kept) {
		t.Errorf("the same value once more is another one: %+v, %v", again, err)
	}
	shown, _ := json.Marshal(Shown(kept))
	if want := `"secrets":[{"name":"EMPTY"},{"name":"PASSWORD"}]`; !strings.Contains(string(shown), want) {
		t.Errorf("shown is %s, want %s", shown, want)
	}
	sealed := map[string][]byte{}
	for _, s := range kept.Layers[0].Secrets {
		sealed[s.Name] = s.Sealed
	}
	work := &host.Work{Revision: 7, Containers: []host.Container{{CTID: 100, Account: "ann", Process: host.Process{
		Env: map[string]string{"A": "1"}, Sealed: sealed}}, {CTID: 101, Account: "bob", Process: host.Process{Sealed: sealed}}}}
	got, err := keys.Open(work)
	if err == nil || !strings.Contains(err.Error(), "container 101") || strings.Contains(err.Error(), "container 100") {
		t.Errorf("another account's value: %v", err)
	}
	if want := map[string]string{"A": "1", "EMPTY": "", "PASSWORD": "hunter2"}; !reflect.DeepEqual(got.Containers[0].Process.Env, want) ||
		got.Containers[0].Process.Sealed != nil {
		t.Errorf("the host gets %+v, want %v", got.Containers[0].Process, want)
	}
	if len(got.Containers[1].Process.Env) != 0 || work.Containers[0].Process.Env["PASSWORD"] != "" {
		t.Errorf("another account's, and what is stored: %+v, %+v", got.Containers[1].Process, work.Containers[0].Process)
	}
}

func TestRefused(t *testing.T) {
	have := spec(operator.SecretSpec{Name: "A", Sealed: []byte("x")})
	other := have
	other.Layers = []operator.LayerSpec{{Name: "bl", Secrets: have.Layers[0].Secrets}}
	for _, c := range []struct {
		name   string
		want   operator.SecretSpec
		have   *operator.EnvironmentSpec
		object string
	}{
		{"a new one without a value", operator.SecretSpec{Name: "A"}, nil, "layers[0].secrets[0].value"},
		{"another name", operator.SecretSpec{Name: "B"}, &have, "layers[0].secrets[0].value"},
		{"another layer's", operator.SecretSpec{Name: "A"}, &other, "layers[0].secrets[0].value"},
		{"one that is sealed already", operator.SecretSpec{Name: "A", Sealed: []byte("x")}, &have, "layers[0].secrets[0].sealed"},
	} {
		_, err := keys.Seal("ann", spec(c.want), c.have)
		var p *operator.Problem
		if !errors.As(err, &p) || p.Object != c.object || p.Next == "" {
			t.Errorf("%s: %v, want a problem of %s", c.name, err, c.object)
		}
	}
}
