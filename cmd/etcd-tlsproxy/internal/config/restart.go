package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Pending is a changed setting that waits for a restart.
type Pending struct {
	Key string `json:"key"`
	// Running is the value in force, and File that of the file.
	Running string `json:"running"`
	File    string `json:"file"`
}

func (p Pending) String() string {
	return fmt.Sprintf("%s is %s, and %s after a restart", p.Key, p.Running, p.File)
}

// KeepRestart gives c the running values of the settings that a running service cannot
// change, and returns those that differ.
func (c *Config) KeepRestart(running *Config) (pending []Pending) {
	for _, s := range Settings() {
		if !s.Restart {
			continue
		}
		value, old := s.value(c), s.value(running)
		if !old.Equal(value) {
			pending = append(pending, Pending{s.Key, tomlText(old.Interface()), tomlText(value.Interface())})
			value.Set(old)
		}
	}
	return pending
}

// Changed describes the settings outside of the tables of rules and surfaces whose values
// differ. No value is a secret: secrets are in files of their own.
func Changed(before, after *Config) (changes []string) {
	for _, s := range Settings() {
		was, is := s.value(before).Interface(), s.value(after).Interface()
		if s.Type != "table" && !reflect.DeepEqual(was, is) {
			changes = append(changes, fmt.Sprintf("%s is %s instead of %s", s.Key, shortened(tomlText(is)), shortened(tomlText(was))))
		}
	}
	return changes
}

// maxValue bounds a value in the logs, which can be a long list.
const maxValue = 200

func shortened(text string) string {
	if len(text) > maxValue {
		return strings.ToValidUTF8(text[:maxValue], "") + "..."
	}
	return text
}
