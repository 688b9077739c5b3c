package htpasswd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// maxInput is larger than every accepted password.
const maxInput = 4096

// ReadStdin reads a password from a program: exactly one line.
func ReadStdin(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if bytes.ContainsAny(line, "\r\n") {
		return "", errors.New("there is more than one line on standard input (hint: send only the password)")
	}
	return string(line), nil
}

// Prompt asks for a password on the terminal without showing it. With again it asks twice
// and compares.
func Prompt(ctx context.Context, in io.Reader, prompt io.Writer, again bool) (string, error) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", errors.New("there is no terminal to ask for the password (hint: send it with --stdin)")
	}
	password, err := readPassword(ctx, file, prompt, "Password: ")
	if err != nil || !again {
		return password, err
	}
	repeated, err := readPassword(ctx, file, prompt, "Repeat the password: ")
	if err == nil && repeated != password {
		err = errors.New("the two passwords differ; nothing was written")
	}
	return password, err
}

// readPassword reads a line without echo. It restores the terminal after Ctrl-C.
func readPassword(ctx context.Context, terminal *os.File, prompt io.Writer, text string) (string, error) {
	fd := int(terminal.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	fmt.Fprint(prompt, text)
	type answer struct {
		password []byte
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		password, err := term.ReadPassword(fd)
		answered <- answer{password, err}
	}()
	select {
	case a := <-answered:
		fmt.Fprintln(prompt) // the newline of the user was not echoed
		if a.err != nil {
			return "", fmt.Errorf("reading the password: %w", a.err)
		}
		return string(a.password), nil
	case <-ctx.Done():
		fmt.Fprintln(prompt)
		return "", errors.Join(errors.New("interrupted; nothing was written"), term.Restore(fd, state))
	}
}
