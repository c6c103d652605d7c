// Package database has a container's databases carry out what their own clients are told on stdin.
//
// Owns: how PostgreSQL and MariaDB are reached with the rights of their administrator, and whether they run.
// In: a root, statements.
// Out: their end; an error that says what the client said.
// Never: has a statement in arguments or in a file.
package database

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/jem"
)

// Database is one kind.
type Database struct {
	Name    string
	Clients []string // any of them, as program.Find has it
	server  []string // what its process is called
	client  func(root, path string) (program.Command, error)
}

// PostgreSQL is asked as its user postgres, by its socket.
var PostgreSQL = Database{"PostgreSQL", []string{"psql", "/usr/lib/postgresql/*/bin/psql"}, []string{"postgres"},
	func(root, path string) (program.Command, error) {
		u, err := users.Find(root, "postgres")
		if err != nil {
			return program.Command{}, &jem.Error{Code: "unavailable", Reason: "this container has no user postgres"}
		}
		return program.Command{Path: path, Args: []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"}, Dir: "/",
			As: u.As()}, nil
	}}

// MariaDB is asked as its root, by its socket.
var MariaDB = Database{"MariaDB", []string{"mariadb", "mysql"}, []string{"mariadbd", "mysqld"},
	func(root, path string) (program.Command, error) {
		cmd := program.Command{Path: path, Args: []string{"--batch", "--no-auto-rehash", "-u", "root"}, Dir: "/"}
		const own = "etc/mysql/debian.cnf"
		if st, err := os.Stat(filepath.Join(root, own)); err == nil && st.Mode().IsRegular() {
			cmd.Args = append([]string{"--defaults-extra-file=" + filepath.Join(root, own)}, cmd.Args...)
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return cmd, err
		}
		return cmd, nil
	}}

// Runs tells whether its server runs here.
func (d Database) Runs(root string) bool { return program.Running(root, d.server...) }

// names are its clients', without the places where they may be.
func (d Database) names() []string {
	return slices.DeleteFunc(slices.Clone(d.Clients), func(n string) bool { return strings.HasPrefix(n, "/") })
}

// Lacks is what the container has not that is needed to ask it; "" is nothing.
func (d Database) Lacks(root string) string {
	if program.Find(root, d.Clients...) == "" {
		return strings.Join(d.names(), " or ")
	}
	return ""
}

// Client is its client, ready to be told.
func (d Database) Client(root string) (program.Command, error) {
	path := program.Find(root, d.Clients...)
	if path == "" {
		return program.Command{}, program.Lacks(d.Name, d.names()...)
	}
	return d.client(root, path)
}

// Do has it carry out statements.
func (d Database) Do(ctx context.Context, root, statements string) error {
	cmd, err := d.Client(root)
	if err != nil {
		return err
	}
	cmd.In = strings.NewReader(statements)
	if _, err := program.Run(ctx, cmd); err != nil {
		return &jem.Error{Code: "unavailable", Reason: d.Name + ": " + err.Error(), Next: "is the server running? jem service status"}
	}
	return nil
}
