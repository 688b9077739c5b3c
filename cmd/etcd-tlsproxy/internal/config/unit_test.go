package config

import (
	"errors"
	"maps"
	"testing"
)

func TestAnErrorBelongsToTheUnitOfItsKey(t *testing.T) {
	for text, want := range map[string]map[Unit]bool{
		"[tls]\nkey = \"k\"": {Certificates: true},
		"drian = 1":          {Others: true, Certificates: true},
		"listen = 1":         {Others: true, Certificates: true},
		"match = \"x\"\n[tls]\ncertificate=\"c\"\nkey=\"k\"":                             {Access: true},
		"[limits]\nwatches = 0\n[tls]\ncertificate=\"c\"\nkey=\"k\"\n[acls]\n\"a\" = []": {Others: true, Access: true},
	} {
		doc, config, unknown := Decode("a.toml", []byte(text))
		_, err := Check(doc, config)
		got, ok := UnitsOf(errors.Join(unknown, err))
		if !ok || !maps.Equal(got, want) {
			t.Errorf("units of the errors in %q: got %v (%t), want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"listen = ", "a = 1\na = 2"} {
		_, config, err := Decode("a.toml", []byte(text))
		if config != nil || err == nil {
			t.Errorf("decoding %q: got the configuration %v and the error %v, want only an error", text, config, err)
		}
	}
}

func TestAMergedConfigurationHasEachUnitFromOneSide(t *testing.T) {
	before, next := Default(), Default()
	next.TLS.Key, next.Auth.Htpasswd, next.ACLs, next.ReadOnly, next.Log.Level = Files{"k"}, []string{"h"}, map[string]ACL{"/": {}}, true, "debug"
	merged := Merge(before, next, map[Unit]bool{Access: true})
	if len(merged.TLS.Key) != 1 || merged.Auth.Htpasswd != nil || merged.ACLs != nil || !merged.ReadOnly || merged.Log.Level != "debug" {
		t.Errorf("merged without the new users and rules: got %+v", merged)
	}
	merged = Merge(before, next, map[Unit]bool{Certificates: true, Others: true})
	if merged.TLS.Key != nil || len(merged.Auth.Htpasswd) != 1 || len(merged.ACLs) != 1 || merged.ReadOnly || merged.Log.Level != "info" {
		t.Errorf("merged with only the new users and rules: got %+v", merged)
	}
}
