package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// copyFlags are what `node cp` is told.
type copyFlags struct{ archive, follow bool }

func nodeCopy(a *app.App) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use: "cp SRC DST", Short: "Copy files between a node and this machine",
		Long: "Copies a file or a directory: one of SRC and DST is NODE:PATH, the other a path of this machine or -, a tar stream on\n" +
			"stdin or stdout. It goes where cp -r has it: into DST under its name if that is a directory, else as DST; SRC/. is what a\n" +
			"directory holds. Files get their names when they are whole. Modes, times and attributes (user.*) are kept; owners, ACLs\n" +
			"and capabilities with --archive. Nothing that a node sends is written outside DST. Devices, pipes and sockets are left\n" +
			"out, and the exit code is 7 then.",
		Example: "  hnctl node cp ./site 101:/var/www\n  hnctl node cp 101:/var/log/nginx/. ./logs\n" +
			"  hnctl node cp 101:/etc - | tar -t",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, dst := endOf(args[0]), endOf(args[1])
			switch {
			case src.path == "" || dst.path == "":
				return app.Usage(cmd, "%q is no place: give a path, or NODE:PATH", args[map[bool]int{true: 0, false: 1}[src.path == ""]])
			case (src.node == "") == (dst.node == ""):
				return app.Usage(cmd, "one of %q and %q must be of a node, such as 101:/etc/hosts, the other of this machine", args[0],
					args[1])
			case src.node != "":
				return fromNode(cmd.Context(), a, src, dst.path, f)
			}
			return intoNode(cmd.Context(), a, src.path, dst, f)
		},
	}
	c.Flags().BoolVar(&f.archive, "archive", false, "keep the numbers of owners, ACLs and capabilities too")
	c.Flags().BoolVarP(&f.follow, "follow-link", "L", false, "if SRC is a link, copy what it leads to")
	return c
}

// end is one of the two places.
type end struct{ node, path string }

// endOf takes NODE:PATH apart. What can't be a node's name before the colon is a path of this machine, so is C:\ of Windows.
func endOf(arg string) end {
	node, at, ok := strings.Cut(arg, ":")
	if ok {
		if _, err := wire.ParseCTID(node); err == nil || len(node) > 1 && wire.Label("component", node, 40) == nil {
			return end{node, at}
		}
	}
	return end{"", arg}
}

// agreed is the name that what is at a path has in the stream, and the path without what said that its contents are meant.
func agreed(at string) (name, root string) {
	if dir, ok := strings.CutSuffix(at, "/."); ok {
		return filecopy.Contents, dir + "/"
	}
	switch base := path.Base(path.Clean(at)); base {
	case ".", "..", "/":
		return filecopy.Contents, at
	default:
		return base, at
	}
}

// jemProgram is where every container has its tool.
const jemProgram = "/run/hardnode/jem"

// copySession runs the node's end.
func copySession(ctx context.Context, a *app.App, node string, f copyFlags, action, at, name string, in io.Reader, out io.Writer) error {
	argv := []string{jemProgram, "copy", action, at, name}
	if f.archive {
		argv = append(argv, "owners")
	}
	if f.follow && action == "send" {
		argv = append(argv, "follow")
	}
	err := inNode(ctx, a, node, "exec", url.Values{"argv": argv},
		session.IO{In: in, Out: out, Err: &lined{a.Talk, "hnctl: " + node + ": "}})
	var code *app.CodeError
	if errors.As(err, &code) && code.Code == 2 && errors.Is(err, app.ErrSilent) {
		return app.WithCode(app.ExitFailed, fmt.Errorf("node %s was started by a host of an earlier release, whose containers "+
			"can't copy: update its host, see hnctl host update --help", node))
	}
	return err
}

// intoNode copies from this machine.
func intoNode(ctx context.Context, a *app.App, src string, dst end, f copyFlags) error {
	if src == "-" {
		if app.IsTerminal(a.In) {
			return app.WithCode(app.ExitUsage, errors.New("- is a tar stream on stdin: there is a terminal; "+
				"tar -c site | hnctl node cp - 101:/srv"))
		}
		return copySession(ctx, a, dst.node, f, "receive", dst.path, filecopy.Any, a.In, a.Talk)
	}
	name, root := agreed(filepath.ToSlash(src))
	if f.follow {
		real, err := filepath.EvalSymlinks(filepath.FromSlash(root))
		if err != nil {
			return fmt.Errorf("find %q: %v", src, err)
		}
		root = real
	}
	if _, err := os.Lstat(root); err != nil {
		return app.WithCode(app.ExitNotFound, fmt.Errorf("there is no %q on this machine", src))
	}
	r, w := io.Pipe()
	sent := make(chan filecopy.Copied, 1)
	go func() {
		done, err := filecopy.Pack(w, filepath.FromSlash(root), name,
			filecopy.Options{Owners: f.archive, Complain: func(text string) { a.Say("hnctl: %s", text) }})
		w.CloseWithError(err)
		sent <- done
	}()
	err := copySession(ctx, a, dst.node, f, "receive", dst.path, name, r, a.Talk)
	r.CloseWithError(io.ErrClosedPipe)
	if done := <-sent; err == nil && done.LeftOut > 0 {
		return app.WithCode(app.ExitPartly, app.ErrSilent)
	}
	return err
}

// fromNode copies to this machine.
func fromNode(ctx context.Context, a *app.App, src end, dst string, f copyFlags) error {
	name, root := agreed(src.path)
	if dst == "-" {
		if app.IsTerminal(a.Out) {
			return app.WithCode(app.ExitUsage, errors.New("- is a tar stream on stdout: there is a terminal; "+
				"hnctl node cp 101:/etc - > etc.tar"))
		}
		return copySession(ctx, a, src.node, f, "send", root, name, nil, a.Out)
	}
	r, w := io.Pipe()
	type result struct {
		done filecopy.Copied
		err  error
	}
	got := make(chan result, 1)
	go func() {
		done, err := filecopy.Unpack(r, dst, name,
			filecopy.Options{Owners: f.archive, Complain: func(text string) { a.Say("hnctl: %s", text) }})
		if err == nil {
			_, err = io.Copy(io.Discard, r) // the session's end counts, not the stream's
		}
		r.CloseWithError(err)
		got <- result{done, err}
	}()
	err := copySession(ctx, a, src.node, f, "send", root, name, nil, w)
	var code *app.CodeError
	partly := errors.As(err, &code) && code.Code == app.ExitPartly
	if err == nil || partly {
		w.Close()
	} else {
		w.CloseWithError(err)
	}
	var local result
	select {
	case local = <-got:
	case <-after(ctx, cleanWithin): // it is at a hole without an end
	}
	switch {
	case local.err != nil && (err == nil || partly || errors.Is(err, local.err)):
		return app.WithCode(app.ExitFailed, local.err)
	case err == nil && local.done.LeftOut > 0:
		return app.WithCode(app.ExitPartly, app.ErrSilent)
	}
	return err
}

// cleanWithin is how long a copy that was given up may take to remove the half of a file.
const cleanWithin = 2 * time.Second

// after ends some time after ctx does.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	context.AfterFunc(ctx, func() {
		run.Wait(context.WithoutCancel(ctx), d)
		close(done)
	})
	return done
}

// lined writes lines that a node made: each begins with whose it is, and has nothing in it that a terminal would obey.
type lined struct {
	to   io.Writer
	head string
}

func (p *lined) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Fprintln(p.to, p.head+app.Clean(strings.TrimSuffix(line, "\n"))); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
