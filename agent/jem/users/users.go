// Package users reads who there is in a container.
//
// Owns: how much of /etc/passwd is read, and what is a line of it (passwd(5)).
// In: a root.
// Out: users; a *jem.Error for one that is not there.
// Never: changes anything.
package users

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/jem"
)

// User is a line of /etc/passwd.
type User struct {
	Name, Home, Shell string
	UID, GID          uint32
}

// As is how a program runs as the user.
func (u User) As() *program.User { return &program.User{UID: u.UID, GID: u.GID} }

// maxFile is how much of /etc/passwd is read, in bytes.
const maxFile = 1 << 20

// List are all users, in the order of the file.
func List(root string) ([]User, error) {
	raw, err := file.Read(filepath.Join(root, "etc/passwd"), maxFile)
	if err != nil {
		return nil, &jem.Error{Code: "unavailable", Reason: "this container has no /etc/passwd that can be read"}
	}
	return parse(string(raw)), nil
}

func parse(text string) (list []User) {
	for line := range strings.Lines(strings.ToValidUTF8(text, "?")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 || f[0] == "" {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		gid, gerr := strconv.ParseUint(f[3], 10, 32)
		if err == nil && gerr == nil {
			list = append(list, User{Name: f[0], Home: f[5], Shell: f[6], UID: uint32(uid), GID: uint32(gid)})
		}
	}
	return list
}

// Find is the user of a name.
func Find(root, name string) (User, error) {
	list, err := List(root)
	for _, u := range list {
		if u.Name == name {
			return u, nil
		}
	}
	if err == nil {
		err = &jem.Error{Code: "not_found", Reason: fmt.Sprintf("there is no user %q", name), Next: "jem passwd list"}
	}
	return User{}, err
}
