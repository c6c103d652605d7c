package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// edit changes the fields of one record; the others stay as they are written.
func edit(records map[string]json.RawMessage, key string, f func(map[string]json.RawMessage) error) error {
	var doc map[string]json.RawMessage
	err := json.Unmarshal(records[key], &doc)
	if err == nil {
		err = f(doc)
	}
	if err == nil {
		records[key], err = json.Marshal(doc)
	}
	if err != nil {
		return fmt.Errorf("record %q: %v", key, err)
	}
	return nil
}

// holders is the upgrade to version 2. What was at work goes on and holds its environment; undoing it changes nothing, since what was
// before it was not kept.
func holders(records map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if !strings.HasPrefix(key, "operation/") {
			continue
		}
		var op struct {
			ID, Kind, State, Env string
		}
		if err := json.Unmarshal(records[key], &op); err != nil {
			return nil, fmt.Errorf("record %q: %v", key, err)
		}
		if err := edit(records, key, func(doc map[string]json.RawMessage) error {
			delete(doc, "undo")
			delete(doc, "from")
			return nil
		}); err != nil {
			return nil, err
		}
		held := "env/" + op.Env
		if _, there := records[held]; !there || op.Kind == "node.replace" || operator.OperationState(op.State).Final() {
			continue
		}
		id, err := json.Marshal(op.ID)
		if err == nil {
			err = edit(records, held, func(doc map[string]json.RawMessage) error { doc["operation"] = id; return nil })
		}
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// accounts is the upgrade to version 3: what has no account gets its environment's, or the admins' where there is none. Each host gets a
// new revision of its Work: what an orchestrator of version 2 sent it had none. The nodes' Assigned stays, for nothing else changes for
// them.
func accounts(records map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	of := map[wire.EnvName]wire.Account{}
	keys := slices.Sorted(maps.Keys(records))
	for _, key := range keys {
		name, ok := strings.CutPrefix(key, "env/")
		if !ok {
			continue
		}
		err := edit(records, key, func(doc map[string]json.RawMessage) error { return give(doc, wire.AdminAccount) })
		var e struct{ Account wire.Account }
		if err == nil {
			err = json.Unmarshal(records[key], &e)
		}
		if err != nil {
			return nil, err
		}
		of[wire.EnvName(name)] = e.Account
	}
	for _, key := range keys {
		var f func(map[string]json.RawMessage) error
		switch kind, _, _ := strings.Cut(key, "/"); kind {
		case "operation":
			f = func(doc map[string]json.RawMessage) error { return giveEnvs(doc, of) }
		case "token", "template":
			f = func(doc map[string]json.RawMessage) error { return give(doc, wire.AdminAccount) }
		case "node":
			f = func(doc map[string]json.RawMessage) error {
				if len(doc["container"]) == 0 {
					return nil // who reads it will say that it is missing
				}
				return edit(doc, "container", func(c map[string]json.RawMessage) error { return giveEnvs(c, of) })
			}
		case "work":
			f = func(doc map[string]json.RawMessage) error { return giveWork(doc, of) }
		default:
			continue
		}
		if err := edit(records, key, f); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// give sets the account of a record, or of a part of one, that has none.
func give(doc map[string]json.RawMessage, a wire.Account) (err error) {
	if len(doc["account"]) == 0 {
		doc["account"], err = json.Marshal(a)
	}
	return err
}

// giveEnvs is give of the account of the environment that the record names.
func giveEnvs(doc map[string]json.RawMessage, of map[wire.EnvName]wire.Account) error {
	var name wire.EnvName
	if raw := doc["env"]; len(raw) > 0 {
		if err := json.Unmarshal(raw, &name); err != nil {
			return err
		}
	}
	return give(doc, of[name].Owner())
}

// giveWork gives the containers of a Work their accounts, and the Work its next revision.
func giveWork(doc map[string]json.RawMessage, of map[wire.EnvName]wire.Account) error {
	var rev wire.Revision
	var list []map[string]json.RawMessage
	if len(doc["revision"]) == 0 || len(doc["containers"]) == 0 {
		return nil // likewise
	}
	if err := errors.Join(json.Unmarshal(doc["revision"], &rev), json.Unmarshal(doc["containers"], &list)); err != nil {
		return err
	}
	for _, c := range list {
		if err := giveEnvs(c, of); err != nil {
			return err
		}
	}
	var err, err2 error
	doc["revision"], err = json.Marshal(rev + 1)
	doc["containers"], err2 = json.Marshal(list)
	return errors.Join(err, err2)
}
