package record

import (
	"os"
	"strings"
	"testing"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestOneBadRecord: what can't be read of one record is that record's business.
func TestOneBadRecord(t *testing.T) {
	good, err := Make(host.Container{CTID: 6, Generation: 2}, 65536)
	if err != nil {
		t.Fatal(err)
	}
	all := Read([]call.Record{{ID: "5", Note: []byte("{torn")}, {ID: "6", Note: good}, {ID: "7", Note: good}, {ID: "nonsense"}, {ID: "8"}})
	if len(all) != 4 || all[6].Damage != nil || all[6].UIDBase != 65536 {
		t.Errorf("the good one: %+v of %d, want 4 records", all[6], len(all))
	}
	for _, id := range []wire.CTID{5, 7, 8} {
		if rec := all[id]; rec.Damage == nil || rec.ID != id.String() || rec.UIDBase != 0 || rec.Container.CTID != 0 {
			t.Errorf("record %d: got %+v, want one that says it is damaged", id, rec)
		}
	}
}

func TestNoteHoldsNoSecret(t *testing.T) {
	c := host.Container{CTID: 101, Files: []host.File{{Path: "/run/hardnode/a/b.json", Data: []byte("SECRET")}}}
	b, err := Make(c, 65536)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "SECRET") || strings.Contains(string(b), "U0VDUkVU") || len(c.Files[0].Data) == 0 {
		t.Errorf("the note holds a file's data, or the spec lost it: %s", b)
	}
}

// TestNoteKeepsTheAccount: whose a container is stays with it; one that an earlier agent started is the admins'.
func TestNoteKeepsTheAccount(t *testing.T) {
	now, err := Make(host.Container{CTID: 7, Account: "shop"}, 65536)
	if err != nil {
		t.Fatal(err)
	}
	earlier, err := os.ReadFile("testdata/golden/note.1.json")
	if err != nil {
		t.Fatal(err)
	}
	all := Read([]call.Record{{ID: "7", Note: now}, {ID: "101", Note: earlier}})
	if got := all[7].Container.Account; got != "shop" {
		t.Errorf("the note of a start says %q, want shop", got)
	}
	if rec := all[101]; rec.Damage != nil || rec.Container.Account.Owner() != wire.AdminAccount {
		t.Errorf("an earlier agent's container is %q's (%v), want admin's", rec.Container.Account.Owner(), rec.Damage)
	}
}
