package htpasswd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"etcd-tlsproxy/acl"
)

// File is a htpasswd file that the proxy accepts.
type File struct {
	name  string
	data  []byte
	users *acl.Users
}

// Parse parses a file. The error names each line that the proxy would refuse.
func Parse(name string, data []byte) (*File, error) {
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: name, Data: data})
	if err != nil {
		return nil, err
	}
	return &File{name: name, data: data, users: users}, nil
}

// User is a user with the scheme of the password's hash.
type User struct {
	Name   string `json:"user"`
	Scheme string `json:"scheme"`
}

// Users lists the users in order.
func (f *File) Users() []User {
	list := []User{}
	for _, name := range f.users.Names() {
		scheme, _ := f.users.Scheme(name)
		list = append(list, User{name, scheme})
	}
	return list
}

// Verify reports whether a password is the user's.
func (f *File) Verify(ctx context.Context, user, password string) (bool, error) {
	if err := f.checkUser(user); err != nil {
		return false, err
	}
	return f.users.Verify(ctx, user, password, acl.Client{})
}

func (f *File) checkUser(user string) error {
	if f.users.Has(user) {
		return nil
	}
	return fmt.Errorf("%s: there is no user %q (hint: passwd list shows the users)", f.name, user)
}

// CheckName refuses names that cannot be written in a line.
func CheckName(user string) error {
	if err := acl.CheckName(user); err != nil {
		return err
	}
	if strings.HasPrefix(user, "#") {
		return errors.New("the user name begins with # (hint: such a line is a comment)")
	}
	if strings.TrimSpace(user) != user {
		return errors.New("the user name begins or ends with a blank (hint: remove the blank, which would be invisible)")
	}
	return nil
}

// Add returns the file with one more user at the end.
func (f *File) Add(user, hash string) ([]byte, error) {
	if err := CheckName(user); err != nil {
		return nil, err
	}
	if f.users.Has(user) {
		return nil, fmt.Errorf("%s: there is already a user %q (hint: passwd change sets a new password)", f.name, user)
	}
	data := bytes.Clone(f.data)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return fmt.Appendf(data, "%s:%s\n", user, hash), nil
}

// Change returns the file with another hash for a user. The comment of the line stays.
func (f *File) Change(user, hash string) ([]byte, error) {
	return f.edit(user, func(line []byte) []byte {
		end := len(bytes.TrimRight(line, "\r\n"))
		if fields := bytes.SplitN(line, []byte(":"), 3); len(fields) == 3 {
			end = len(line) - len(fields[2]) - 1
		}
		return append([]byte(user+":"+hash), line[end:]...)
	})
}

// Remove returns the file without a user.
func (f *File) Remove(user string) ([]byte, error) {
	return f.edit(user, func([]byte) []byte { return nil })
}

// edit changes the lines of a user. A user can have several lines if they are equal.
func (f *File) edit(user string, change func(line []byte) []byte) ([]byte, error) {
	if err := f.checkUser(user); err != nil {
		return nil, err
	}
	var data []byte
	for line := range bytes.SplitAfterSeq(f.data, []byte("\n")) {
		// A comment cannot match: the parser accepts no user whose name begins with #.
		if name, _, found := bytes.Cut(line, []byte(":")); found && string(name) == user {
			line = change(bytes.Clone(line))
		}
		data = append(data, line...)
	}
	return data, nil
}
