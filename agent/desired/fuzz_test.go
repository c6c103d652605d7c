package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"hardnode.dev/internal/wire/host"
)

// Whatever is decoded of a difference, the host has all of it afterwards or what it had, in memory and on its disk.
func FuzzDifferences(f *testing.F) {
	other := more()
	other.Names.Accounts[0].From = 4
	for _, a := range []host.Assignment{differences(), more(), other, many(1), manyHosts(1), {}, {Names: &host.NamesChange{}},
		{Peers: &host.Peers{Version: 1, Revision: 9, Range4: differences().PeersChange.Peers.Range4, Hosts: []host.Peer{}}}} {
		raw, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := host.DecodeAssignment(bytes.NewReader(raw))
		if err != nil {
			return
		}
		a.Work = nil
		dir := t.TempDir()
		s := open(t, dir)
		if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
			t.Fatal(err)
		}
		before := look(t, s, dir)
		err = s.Accept(a)
		after, again := look(t, s, dir), open(t, dir)
		if err != nil && (!errors.Is(err, host.ErrOther) || after.peers != before.peers || after.disk != before.disk) {
			t.Errorf("it is refused with %v, and what was\n%v\nis\n%v", err, before, after)
		}
		if err == nil && again.Known().Query() != after.known {
			t.Errorf("it asks with %s, after a new start with %s", after.known, again.Known().Query())
		}
		inMemory, err := json.Marshal(s.mu.peers)
		onDisk, err2 := json.Marshal(again.mu.peers)
		if err != nil || err2 != nil || !bytes.Equal(inMemory, onDisk) {
			t.Errorf("it has\n%s\nand after a new start\n%s\n%v %v", inMemory, onDisk, err, err2)
		}
	})
}
