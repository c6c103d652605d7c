package cli

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
	byEnv  = filter{"env", "environment", "/environments"}
	byHost = filter{"host", "host", "/hosts"}
)

// check refuses an empty value that was given, as from an unset variable: it would list everything.
func (f filter) check(c *cobra.Command, value string) error {
	if value == "" && c.Flags().Changed(f.flag) {
		return usage(c, "--%s is empty: name one %s, or leave the flag out", f.flag, f.noun)
	}
	return nil
}

// exists refuses a value that names nothing. Lists that are not empty need no such question.
func (f filter) exists(ctx context.Context, a *app, value string) error {
	if value == "" {
		return nil
	}
	_, err := get[map[string]any](ctx, a, f.path+"/"+url.PathEscape(value))
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != operator.NotFound && p.Code != operator.Invalid {
		return err
	}
	reason := fmt.Sprintf("there is no %s %q%s", f.noun, value, a.meant(ctx, f.path, value))
	return operator.NewProblem(operator.NotFound, "", reason, "see hnctl "+f.flag+" list")
}

// lists are the lists whose names a person may have mistyped, by the first part of a problem's object.
var lists = map[string]string{"environments": "/environments", "hosts": "/hosts", "templates": "/templates", "tokens": "/tokens"}

// didYouMean adds the nearest name to a problem about an object that is not there.
func (a *app) didYouMean(ctx context.Context, err error) error {
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
func (a *app) meant(ctx context.Context, path, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	names, err := a.namesOf(ctx, path)
	if err != nil {
		return ""
	}
	return nearest(name, names)
}

func nearest(name string, names []string) string {
	if near := document.Nearest(name, names); near != "" && near != name {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// namesOf are the names of a list's objects.
func (a *app) namesOf(ctx context.Context, path string) (names []string, err error) {
	list, err := items[struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Spec struct {
			Name string `json:"name"`
		} `json:"spec"`
	}](ctx, a, path)
	for _, x := range list {
		names = append(names, nonEmpty(x.Name, x.Spec.Name, x.ID)...)
	}
	return names, err
}
