package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
)

// filter is a flag that keeps a list to what belongs to one object.
type filter struct{ flag, noun, path string }

var (
	ByEnv  = filter{"env", "environment", "/environments"}
	ByHost = filter{"host", "host", "/hosts"}
)

// Check refuses an empty value that was given, as from an unset variable: it would list everything.
func (f filter) Check(c *cobra.Command, value string) error {
	if value == "" && c.Flags().Changed(f.flag) {
		return Usage(c, "--%s is empty: name one %s, or leave the flag out", f.flag, f.noun)
	}
	return nil
}

// Exists refuses a value that names nothing. Lists that are not empty need no such question.
func (f filter) Exists(ctx context.Context, a *App, value string) error {
	if value == "" {
		return nil
	}
	_, err := Get[map[string]any](ctx, a, f.path+"/"+url.PathEscape(value))
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != operator.NotFound && p.Code != operator.Invalid {
		return err
	}
	reason := fmt.Sprintf("there is no %s %q%s", f.noun, value, a.meant(ctx, f.path, value))
	return operator.NewProblem(operator.NotFound, "", reason, "see hnctl "+f.flag+" list")
}

// lists are the lists whose names a person may have mistyped, by the first part of a problem's object.
var lists = map[string]string{"environments": "/environments", "hosts": "/hosts", "templates": "/templates", "tokens": "/tokens"}

// DidYouMean adds the nearest name to a problem about an object that is not there.
func (a *App) DidYouMean(ctx context.Context, err error) error {
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != operator.NotFound || strings.Contains(p.Reason, "did you mean") {
		return err
	}
	kind, name, _ := strings.Cut(p.Object, "/")
	path := lists[kind]
	if path == "" || name == "" {
		return err
	}
	q := *p
	q.Reason += a.meant(ctx, path, name)
	return &q
}

// meant is `; did you mean "x"?` when a list has a name like it. It is quick or silent.
func (a *App) meant(ctx context.Context, path, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	names, err := a.namesOf(ctx, path)
	if err != nil {
		return ""
	}
	return Nearest(name, names)
}

func Nearest(name string, names []string) string {
	if near := document.Nearest(name, names); near != "" && near != name {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// namesOf are the names of a list's objects.
func (a *App) namesOf(ctx context.Context, path string) (names []string, err error) {
	list, err := Items[struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Spec struct {
			Name string `json:"name"`
		} `json:"spec"`
	}](ctx, a, path)
	for _, x := range list {
		names = append(names, NonEmpty(x.Name, x.Spec.Name, x.ID)...)
	}
	return names, err
}
