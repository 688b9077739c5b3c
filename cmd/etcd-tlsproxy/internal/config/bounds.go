package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// checkTags checks the bounds and the choices that the tags give.
func (c *Parsed) checkTags(errs *Errors) {
	all := Settings()
	for _, s := range all {
		if s.Key == "upstream.srv_refresh" && c.Upstream.SRV == "" {
			continue // it has no effect, which checkEndpoints reports
		}
		value := s.value(c.Config)
		if s.Choices != nil && !slices.Contains(s.Choices, value.String()) {
			errs.Add(notAValue(value.String()), "choose one of "+strings.Join(s.Choices, ", "), s.path()...)
		}
		if s.Min == "" && s.Max == "" {
			continue
		}
		low, lowest := c.bound(all, &s, s.Min)
		high, highest := c.bound(all, &s, s.Max)
		if (s.Min == "" || value.Int() >= lowest) && (s.Max == "" || value.Int() <= highest) {
			continue
		}
		hint := fmt.Sprintf("choose a value between %s and %s", low, high)
		if s.Max == "" {
			hint = "choose a value " + low
		}
		errs.Add(fmt.Sprintf("the value %s is out of range", tomlText(value.Interface())), hint, s.path()...)
	}
}

func notAValue(text string) string { return fmt.Sprintf("%q is not a valid value", text) }

// bound returns a bound of a setting as text and as the last number inside of it.
func (c *Parsed) bound(all []Setting, s *Setting, tag string) (text string, inside int64) {
	if tag == "" {
		return "", 0
	}
	if tag == auto {
		if s.Key != "limits.target_bytes" {
			panic("BUG: no bound is computed for " + s.Key)
		}
		highest := c.maxTargetBytes()
		return fmt.Sprint(highest), int64(highest)
	}
	number, above := strings.CutPrefix(tag, ">")
	limit := reflect.New(s.value(c.Config).Type()).Elem()
	if other := slices.IndexFunc(all, func(o Setting) bool { return o.Key == number }); other >= 0 {
		limit.Set(all[other].value(c.Config))
	} else {
		setText(limit, number)
	}
	switch {
	case !above:
		return number, limit.Int()
	case s.Max == "":
		return fmt.Sprintf("above %s, as in %q", number, s.Default), limit.Int() + 1
	}
	return fmt.Sprint(limit.Int() + 1), limit.Int() + 1
}
