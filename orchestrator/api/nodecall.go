package api

import (
	"fmt"
	"net/url"
	"strconv"

	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/nodecall"
	"hardnode.dev/internal/wire/operator"
)

// nodeCalls are the sessions that ask something of a node's host (internal/wire/nodecall).
var nodeCalls = []sessionKind{
	{"restart", "Stop a node in its time and have it started again (WebSocket; frames as of exec); the session ends when it has stopped",
		nil, func(_ url.Values, r *host.SessionRequest) error {
			r.Node = &nodecall.Ask{Restart: &nodecall.Restart{}}
			return nil
		}},
	{"forward", "Carry stdin and stdout to a TCP port inside a node (WebSocket; frames as of exec)", map[string]string{
		"port": "The port, on the node's loopback or its own address"}, func(q url.Values, r *host.SessionRequest) error {
		port, err := number(q, "port")
		if err == nil && (port < 1 || port > 65535) {
			err = operator.NewProblem(operator.Invalid, "port", fmt.Sprintf("%q is no port from 1 to 65535", q.Get("port")), "correct it")
		}
		r.Node = &nodecall.Ask{Forward: &nodecall.Forward{Port: uint16(port)}}
		return err
	}},
	{"console", "Carry a terminal to the console of a full OS, beside others who are there (WebSocket; frames as of exec)",
		map[string]string{"rows": "Rows of the terminal", "cols": "Columns of the terminal",
			"follow": "true: an app container, which has no console, shows what it writes from now on instead"}, parseConsole},
	{"top", "What a node uses, and its processes: one line of JSON a sample (WebSocket; frames as of exec)", map[string]string{
		"every": "Seconds between samples, 1 to 60; 2 if not given",
		"count": "Samples, then the session ends; without it, or 0, there is no end"}, parseTop},
	{"backup", "Send a backup of a node on stdout: its head, a line of JSON, then encrypted segments (WebSocket; frames as of exec)",
		map[string]string{
			"recipient": "Recipient of age, who alone can read it",
			"snapshot":  "The snapshot it is of; without it a new one is taken, which stays",
			"base":      "The snapshot of the last backup: if the host has it as it was, what has changed since is sent",
			"had":       "Parts of the last backup, one parameter each: VOLUME:UUID:TRANSID",
			"compress":  "true: it may be compressed before it is encrypted; its head says whether it is",
			"resume":    "What is there of a backup of this snapshot that was cut, BYTES:MARK: that is not sent again"}, parseBackup},
	{"import", "Make a snapshot of a node of backups on stdin, each a head and decrypted streams (WebSocket; frames as of exec)",
		map[string]string{"backups": "How many there are, the whole one first"}, func(q url.Values, r *host.SessionRequest) error {
			n, err := number(q, "backups")
			if err != nil {
				return err
			}
			r.Node = &nodecall.Ask{TakeBack: &backup.Take{Backups: n}}
			return invalid("backups", r.Node.Validate())
		}},
}

// invalid is an error of a parameter, if it is one.
func invalid(name string, err error) error {
	if err == nil {
		return nil
	}
	return operator.NewProblem(operator.Invalid, name, err.Error(), "correct it")
}

func parseBackup(q url.Values, r *host.SessionRequest) error {
	c := &backup.Create{Recipient: q.Get("recipient"), Snapshot: backup.ID(q.Get("snapshot")), Base: backup.ID(q.Get("base"))}
	var err error
	if c.Compress, err = truth(q, "compress"); err != nil {
		return err
	}
	for _, had := range q["had"] {
		p, err := backup.ParsePart(had)
		if err != nil {
			return invalid("had", err)
		}
		c.Had = append(c.Had, p)
	}
	if q.Has("resume") {
		resume, err := backup.ParseResume(q.Get("resume"))
		if err != nil {
			return invalid("resume", err)
		}
		c.Resume = &resume
	}
	r.Node = &nodecall.Ask{Backup: c}
	return invalid("backup", r.Node.Validate())
}

func parseTop(q url.Values, r *host.SessionRequest) (err error) {
	t := &nodecall.Top{}
	if t.Every, err = number(q, "every"); err != nil {
		return err
	}
	if t.Count, err = number(q, "count"); err != nil {
		return err
	}
	r.Node = &nodecall.Ask{Top: t}
	return invalid("top", r.Node.Validate())
}

func parseConsole(q url.Values, r *host.SessionRequest) error {
	c := &nodecall.Console{Follow: q.Get("follow") == "true"}
	for name, to := range map[string]*uint16{"rows": &c.Rows, "cols": &c.Cols} {
		n, err := number(q, name)
		if err == nil && n > 65535 {
			err = operator.NewProblem(operator.Invalid, name, fmt.Sprintf("%q is no number from 0 to 65535", q.Get(name)), "correct it")
		}
		if err != nil {
			return err
		}
		*to = uint16(n)
	}
	r.Node = &nodecall.Ask{Console: c}
	return nil
}

// number is a parameter that is a number; 0 if it is not given.
func number(q url.Values, name string) (int, error) {
	if !q.Has(name) {
		return 0, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return 0, operator.NewProblem(operator.Invalid, name, fmt.Sprintf("%q is no number from 0 on", q.Get(name)), "correct it")
	}
	return n, nil
}
