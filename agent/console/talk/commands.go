package talk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
)

// commands is the table; help shows it in this order. It is filled by init, since help reads it.
var commands []command

func init() {
	js := []string{"json"}
	commands = []command{
		{name: "status", short: "the host at a glance, and its problems", flags: js, run: runStatus},
		{name: "network", short: "links, addresses, what is configured", flags: js, run: runNetwork},
		{name: "network try", least: 2, most: -1,
			usage: "LINK [MAC|PCI|bond=MODE:LINK,LINK|vlan=ID@LINK] [dhcp|ADDRESS/BITS...] [gateway=A] [route=NET@A] " +
				"[dns=A] [mtu=N] [and LINK ...] [--for SECONDS]",
			short: "put new settings of links in force for a minute", flags: []string{"for", "json"}, run: runNetworkTry},
		{name: "network drop", usage: "LINK [--for SECONDS]", short: "try the network without a link", least: 1, most: 1,
			flags: []string{"for", "json"}, run: runNetworkDrop},
		{name: "network confirm", short: "keep the network that is tried", flags: js, run: runNetworkEnd("confirm")},
		{name: "network revert", short: "end the trial now", flags: js, run: runNetworkEnd("revert")},
		{name: "storage", short: "DATA, and the disks", flags: js, run: runStorage},
		{name: "storage replace", usage: "[DISK] [--wipe DISK] [--dry-run]", most: 1,
			short: "fill another disk in the place of the one that is gone; one that holds something is named again",
			flags: []string{"wipe", "dry-run", "json"}, run: runFill(false)},
		{name: "storage add", usage: "[DISK] [--wipe DISK] [--dry-run]", most: 1,
			short: "give a host on one disk a second one, which then has all too; one that holds something is named again",
			flags: []string{"wipe", "dry-run", "json"}, run: runFill(true)},
		{name: "containers", short: "all containers of this host", flags: js, run: runContainers},
		{name: "container logs", usage: "ID [--tail N] [--grep TEXT]", short: "what a container wrote last", least: 1, most: 1,
			flags: []string{"tail", "grep", "json"}, run: runContainerLogs},
		{name: "container restart", usage: "ID", short: "stop a container; it is started again", least: 1, most: 1, run: runRestart},
		{name: "log", usage: "[UNIT] [--tail N] [--grep TEXT]", short: "the host's log: agent, init, kernel, netd, ... or all", most: 1,
			flags: []string{"tail", "grep", "json"}, run: runLog},
		{name: "slots", short: "the systems on the disk: which is good, which is booted next", flags: js, run: runSlots},
		{name: "slots try", usage: "[a|b] [--within SECONDS] [--reboot]", most: 1,
			short: "boot the other system once; it is committed when it is well in time (600)",
			flags: []string{"within", "reboot", "json"}, run: runSlotsTry},
		{name: "slots copy", usage: "[a|b]", short: "write the system that is booted into the other slot", flags: js, most: 1,
			run: runSlotsCopy},
		{name: "slots rollback", usage: "[--reboot]", short: "commit the other system, which was good", flags: []string{"reboot", "json"},
			run: runSlotsRollback},
		{name: "install", usage: "[DISK [DISK]] [--wipe DISK[,DISK]] [--encrypt tpm] [--dry-run]", most: 2,
			short: "put this host onto a disk, or two; one that holds something is named again",
			flags: []string{"wipe", "encrypt", "dry-run", "json"}, run: runInstall},
		{name: "activate", usage: "LINE", least: 1, most: 1,
			short: "give a host its configuration: the line of hnctl host config line", flags: js, run: runActivate},
		{name: "unlock", usage: "KEY", least: 1, most: -1, run: runUnlock,
			short: "open a locked STATE by its recovery key; the TPM is given its key anew, and the host reboots"},
		{name: "reboot", usage: "[REASON]", short: "stop the containers and boot anew", most: -1, run: runReboot},
		{name: "poweroff", usage: "[REASON]", short: "stop the containers and switch off", most: -1, run: runPowerOff},
		{name: "reset", usage: "[--name HOST]", flags: []string{"name"}, run: runReset,
			short: "forget containers, data and identity; the host's name is typed"},
		{name: "login", short: "give the console's password or answer its challenge, for ten minutes or until exit", run: runLogin},
		{name: "logout", short: "forget that it was given", run: runLogout},
		{name: "support", short: "the support bundle, without secrets, as base64", run: runSupport},
		{name: "support stick", short: "the same, as a file on a FAT volume labelled SUPPORT", flags: js, run: runSupportStick},
		{name: "screen", short: "the pages, for people; Ctrl-T opens them too"},
		{name: "help", usage: "[COMMAND]", short: "this list, or one command", most: -1, run: runHelp},
		{name: "exit", short: "end the conversation; the status goes on"},
	}
}

func runStatus(ctx context.Context, s *Session, a args) error {
	lines, doc, err := s.Summary(ctx, s.Agent)
	if err != nil {
		return err
	}
	s.show(a, doc, lines)
	return nil
}

func runNetwork(ctx context.Context, s *Session, a args) error {
	var n console.Network
	if err := s.Agent.Get(ctx, "/v1/network", &n); err != nil {
		return err
	}
	s.show(a, n, view.Network(n, 0))
	return nil
}

func runStorage(ctx context.Context, s *Session, a args) error {
	var h console.Host
	var i install.Status
	var d storage.Status
	if err := errors.Join(s.Agent.Get(ctx, "/v1/host", &h), s.Agent.Get(ctx, "/v1/install", &i),
		s.Agent.Get(ctx, "/v1/storage", &d)); err != nil {
		return err
	}
	s.show(a, map[string]any{"capacity": h.Capacity, "load": h.Load, "install": i, "storage": d}, view.Storage(h, i, d, 0))
	return nil
}

func runContainers(ctx context.Context, s *Session, a args) error {
	var cs []console.Container
	if err := s.Agent.Get(ctx, "/v1/containers", &cs); err != nil {
		return err
	}
	s.show(a, cs, view.Containers(cs, 0))
	return nil
}

// keeps is the filter of --grep: lines with that text in them, in small or capital letters.
func (a args) keeps() func(string) bool {
	text := strings.ToLower(a.flags["grep"])
	return func(line string) bool { return text == "" || strings.Contains(strings.ToLower(line), text) }
}

// lastLines is how many lines a log is asked for: few for a slow line, all of them when some are searched.
func (a args) lastLines() (string, error) {
	otherwise := 20
	if a.has("grep") {
		otherwise = 0
	}
	n, err := a.number("tail", otherwise)
	if err != nil {
		return "", misuse{err}
	}
	return fmt.Sprintf("?tail=%d", n), nil
}

func runContainerLogs(ctx context.Context, s *Session, a args) error {
	id, err := wire.ParseCTID(a.words[0])
	if err != nil {
		return misuse{err}
	}
	last, err := a.lastLines()
	if err != nil {
		return err
	}
	return s.stream(ctx, a, "/v1/containers/"+id.String()+"/log"+last, a.keeps())
}

func runLog(ctx context.Context, s *Session, a args) error {
	unit := host.UnitDmesg
	if len(a.words) > 0 {
		unit = host.Unit(a.words[0])
	}
	last, err := a.lastLines()
	if err != nil {
		return err
	}
	return s.stream(ctx, a, "/v1/log/"+url.PathEscape(string(unit))+last, a.keeps())
}

func runSlots(ctx context.Context, s *Session, a args) error {
	var st slots.Status
	if err := s.Agent.Get(ctx, "/v1/slots", &st); err != nil {
		return err
	}
	s.show(a, st, view.Slots(st, time.Now(), 0))
	return nil
}

// runSupport writes base64 in lines between two marks, in the manner of RFC 7468: a script cuts them out, `base64 -d` reads them.
func runSupport(ctx context.Context, s *Session, _ args) error {
	r, err := s.Agent.Open(ctx, "/v1/support")
	if err != nil {
		return err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return &ask.Error{Status: http.StatusServiceUnavailable, Text: "the support bundle broke off: " + err.Error()}
	}
	s.Line("-----BEGIN SUPPORT BUNDLE-----")
	for text := base64.StdEncoding.EncodeToString(raw); text != ""; {
		n := min(len(text), 76)
		if ctx.Err() != nil {
			return &ask.Error{Status: http.StatusServiceUnavailable, Text: "interrupted"}
		}
		s.Line(text[:n])
		text = text[n:]
	}
	s.Line("-----END SUPPORT BUNDLE-----")
	s.Line(fmt.Sprintf("%d bytes of tar.gz; put the lines between the marks through base64 -d", len(raw)))
	return nil
}

func runSupportStick(ctx context.Context, s *Session, a args) error {
	var done console.Stick
	if err := s.change(ctx, "/v1/support/stick", struct{}{}, &done); err != nil {
		return err
	}
	s.show(a, done, []string{fmt.Sprintf("%d bytes, file %s of the volume %s; it may be unplugged", done.Bytes, done.File, done.Volume)})
	return nil
}

func runHelp(_ context.Context, s *Session, a args) error {
	if len(a.words) > 0 {
		c, rest := find(a.words)
		if c == nil || len(rest) > 0 {
			return misuse{fmt.Errorf("%q is not known; type help", strings.Join(a.words, " "))}
		}
		s.Line(strings.TrimSpace(c.name + " " + c.usage))
		s.Line("  " + c.short)
		if len(c.flags) > 0 {
			s.Line("  flags: --" + strings.Join(c.flags, ", --"))
		}
		return nil
	}
	for _, c := range commands {
		s.Line(fmt.Sprintf("  %-24s %s", c.name, c.short))
	}
	s.Line("Each answer ends with a line \"exit status N\": 0 done, 1 failed, 2 not understood, 3 wants the password, 4 the agent is away.")
	s.Line("--json makes an answer one line of JSON. Ctrl-C stops an answer, Ctrl-D or exit ends the conversation.")
	return nil
}
