package daemon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

// units are the units that are taken from the previous state.
type units struct {
	settings map[config.Unit]bool // their settings are the previous ones
	// certificates is set if the files of the certificates are not valid either. Certificates
	// are renewed even while the configuration is not valid, because its previous settings
	// name their files.
	certificates bool
	// users is set if the htpasswd files are not valid either. Users lose access even while
	// the table is not valid.
	users bool
}

func (u *units) equal(other *units) bool {
	return u.certificates == other.certificates && u.users == other.users && maps.Equal(u.settings, other.settings)
}

// all reports whether nothing but certificates, and users who lost access, can be new.
func (u *units) all() bool { return len(u.settings) == len(config.Units()) }

// add adds the units that an error concerns, and reports whether that changed anything.
func (u *units) add(err error) (progress bool) {
	concerned, ok := config.UnitsOf(err)
	for _, unit := range config.Units() {
		switch {
		case ok && !concerned[unit]:
		case !u.settings[unit]:
			u.settings[unit] = true
			progress = true
		case unit == config.Certificates && !u.certificates:
			u.certificates = true
			progress = true
		case unit == config.Access && !u.users:
			u.users = true
			progress = true
		}
	}
	return progress
}

// addSettings adds the settings of all units.
func (u *units) addSettings() {
	for _, unit := range config.Units() {
		u.settings[unit] = true
	}
}

// names returns the names of the units whose previous state is in force. Of certificates that
// may be the settings alone.
func (u *units) names() (names []string) {
	for _, unit := range config.Units() {
		switch {
		case !u.settings[unit]:
		case unit == config.Certificates && !u.certificates:
			names = append(names, "settings of "+unit.String())
		default:
			names = append(names, unit.String())
		}
	}
	if u.users {
		names = append(names, statuspage.RemovedUsers)
	}
	return names
}

// build makes the newest valid state of the files. finish completes a state. At the start,
// when there is no previous state, everything must be valid.
//
// Later, units that are not valid are taken from the previous state, so that a mistake in one
// does not delay the revocation of a user or the renewal of a certificate in another. The
// result is validated as a whole. If new units contradict previous ones, the whole previous
// state stays in force, less the users who lost access. The error reports everything that is
// wrong on disk. The state is nil if nothing new can be applied.
func (l *loader) build(disk *files.Reader, before *loaded, finish func(*loaded) error) (*loaded, error) {
	text, err := disk.Read(l.file)
	var doc *config.Document
	var next *config.Config
	if err != nil {
		err = fmt.Errorf("reading the configuration: %w", err)
	} else {
		doc, next, err = config.Decode(l.file, text)
	}
	old := &units{settings: make(map[config.Unit]bool)}
	if before == nil {
		if err != nil {
			return nil, err
		}
		return l.complete(disk, doc, next, nil, old, text, finish)
	}
	var faults []error
	fault := func(err error) (progress bool) {
		if !slices.ContainsFunc(faults, func(known error) bool { return known.Error() == err.Error() }) {
			faults = append(faults, err)
		}
		return old.add(err)
	}
	if err != nil {
		fault(err)
	}
	if next == nil {
		doc, next = before.onDisk, before.config
		old.addSettings()
	} else {
		// The file must also be one that the service could start with: values that wait for a
		// restart are checked here.
		file := *next
		if _, err := config.Check(doc, &file); err != nil {
			fault(err)
		}
	}
	for {
		state, err := l.complete(disk, doc, config.Merge(before.config, next, old.settings), before, old, text, finish)
		if err == nil {
			if old.all() && state.snapshot.Users == before.snapshot.Users && state.snapshot.Waiting == before.snapshot.Waiting && state.snapshot.Certs == before.snapshot.Certs && state.origin.same(&before.origin) {
				state = nil
			}
			return state, old.fault(faults)
		}
		switch {
		case fault(err):
		case !old.certificates || !old.all():
			old.addSettings()
			old.certificates = true
		case !old.users:
			old.users = true
		default:
			return nil, old.fault(faults)
		}
	}
}

// complete assembles and finishes a state.
func (l *loader) complete(disk *files.Reader, doc *config.Document, c *config.Config, before *loaded, old *units, text []byte, finish func(*loaded) error) (*loaded, error) {
	state, err := l.assemble(disk, doc, c, before, old)
	if err != nil {
		return nil, err
	}
	state.text = text
	state.old.settings = maps.Clone(old.settings)
	return state, finish(state)
}

// partError reports that a part of the files was not applied.
type partError struct {
	names []string // of what is in force as before
	all   bool     // whether these are all units
	err   error
}

func (e *partError) Error() string { return e.err.Error() }

func (e *partError) Unwrap() error { return e.err }

// oldParts names what is in force as before because of an error of a reload.
func oldParts(err error) (names []string) {
	var joined interface{ Unwrap() []error }
	if part, ok := errors.AsType[*partError](err); ok && part == err { //nolint:errorlint // the parts of a join are visited below
		return part.names
	}
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			names = append(names, oldParts(one)...)
		}
	}
	return names
}

// nothingApplied reports whether all units are in force as before because of an error.
func nothingApplied(err error) bool {
	part, ok := errors.AsType[*partError](err)
	return ok && part.all
}

// reloadFailed says what a reload did not apply. The rest may be in force since an earlier
// reload, which a reload that changes nothing cannot tell.
func reloadFailed(err error) string {
	return "reload failed; in force as before: " + strings.Join(oldParts(err), "; ")
}

// maxError bounds the error in a line of the audit log. A file can have thousands of mistakes.
const maxError = 1000

// beginning returns the first bytes of a text.
func beginning(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "... (the service log has the rest)"
}

// fault returns the error of a reload.
func (u *units) fault(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return &partError{names: u.names(), all: u.all(), err: errors.Join(faults...)}
}
