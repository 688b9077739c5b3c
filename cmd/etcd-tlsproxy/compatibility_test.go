package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// TestTheShippedUnitsUseKnownCommands parses each command line of the systemd units that
// runs this program: a unit that an operator has copied must continue to work.
func TestTheShippedUnitsUseKnownCommands(t *testing.T) {
	units, err := filepath.Glob("../../deploy/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("listing deploy/systemd: got %d units, error %v; want at least one unit", len(units), err)
	}
	commands := make(map[string]bool)
	for _, unit := range units {
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "\\\n", " ")
		for line := range strings.Lines(text) {
			_, args, ok := strings.Cut(strings.TrimSpace(line), "=/usr/bin/etcd-tlsproxy ")
			if !ok {
				continue
			}
			command, flags, err := newRoot().Find(strings.Fields(args))
			if err != nil {
				t.Errorf("%s: finding the command of %q: got error %v, want none", unit, args, err)
				continue
			}
			if err := command.ParseFlags(flags); err != nil {
				t.Errorf("%s: parsing the flags of %q: got error %v, want none", unit, args, err)
			}
			commands[command.Name()] = true
		}
	}
	for _, want := range []string{"serve", "check-config", "backup"} {
		if !commands[want] {
			t.Errorf("no unit runs %s; the units run %v", want, commands)
		}
	}
}

func TestTheShippedConfigurationIsGood(t *testing.T) {
	data, err := os.ReadFile("../../deploy/config/etcd-tlsproxy.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("etcd-tlsproxy.toml", data)
	if err != nil {
		t.Fatalf("the shipped configuration was refused: %v", err)
	}
	if want := config.Default().Limits; c.Limits != want {
		t.Errorf("the shipped configuration sets limits\n got %+v\nwant %+v", c.Limits, want)
	}
}
