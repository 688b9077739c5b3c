package main

import (
	"testing"
	"time"
)

func TestFlagsThatWouldMeasureNothingAreRefused(t *testing.T) {
	good := settings{rounds: 1, duration: time.Second, scenarios: []string{"get-null"}, only: []string{"ours"}}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*settings){
		func(s *settings) { s.rounds = 0 },
		func(s *settings) { s.duration = 0 },
		func(s *settings) { s.scenarios = []string{"get-nul"} },
		func(s *settings) { s.only = []string{"apache"} },
	} {
		bad := good
		spoil(&bad)
		if bad.check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestVariantsAreMeasuredWithOurs(t *testing.T) {
	s := settings{only: []string{"ours"}}
	if !s.selected("ours") || !s.selected("bcrypt") || s.selected("tuned") {
		t.Error("--only ours takes ours and its variants, and nothing else")
	}
}
