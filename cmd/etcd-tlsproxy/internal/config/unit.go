package config

import (
	"errors"
	"reflect"
	"strings"
)

// Unit is a part of the configuration that a reload applies as a whole. If a unit is
// invalid, its old state stays in force, and the other units are applied: a mistake in the
// table must not delay the renewal of a certificate.
type Unit int

// The units. Users, rules and surfaces belong together, because a name in a rule means
// what the files of users say. Only the loss of access needs no valid table.
const (
	Certificates Unit = iota
	Access
	Others
)

// Units lists all units.
func Units() []Unit { return []Unit{Certificates, Access, Others} }

// String returns the unit in words.
func (u Unit) String() string {
	return [...]string{"certificates and client CAs", "users, rules and surfaces", "other settings"}[u]
}

// unitOf returns the unit of a key, which can be one below a table.
func unitOf(key string) Unit {
	table, _, _ := strings.Cut(key, ".")
	switch table {
	case "tls":
		return Certificates
	case "auth", "acls", "surfaces", "match":
		return Access
	}
	return Others
}

// UnitsOf returns the units that contain the errors which err joins. ok is false if an
// error has no key, so that it concerns all of the file.
func UnitsOf(err error) (units map[Unit]bool, ok bool) {
	units = make(map[Unit]bool)
	return units, addUnits(units, err)
}

func addUnits(units map[Unit]bool, err error) bool {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			if !addUnits(units, one) {
				return false
			}
		}
		return true
	}
	fault, ok := errors.AsType[*Error](err)
	if !ok || fault.Key == "" {
		return false
	}
	units[unitOf(fault.Key)] = true
	return true
}

// Merge returns the configuration of next, with the units in kept from before.
func Merge(before, next *Config, kept map[Unit]bool) *Config {
	merged := *next
	old, into := reflect.ValueOf(before).Elem(), reflect.ValueOf(&merged).Elem()
	for i := range into.NumField() {
		if kept[unitOf(into.Type().Field(i).Tag.Get("toml"))] {
			into.Field(i).Set(old.Field(i))
		}
	}
	return &merged
}
