package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Setting describes one key of the configuration, from the tags of its field.
type Setting struct {
	// Key is the full key, as in "limits.drain".
	Key string
	// Type is "string", "boolean", "integer", "size", "duration", "list of strings", "string
	// or list of strings" or "table".
	Type string
	// Default, Min and Max are as in the tags; see the package comment. They are ""
	// for a key without one.
	Default, Min, Max string
	// Choices are the only allowed values, or nil if there is no such list.
	Choices []string
	// Restart reports whether a change needs a restart.
	Restart bool

	index []int
}

// auto marks a default or a bound that is computed.
const auto = "auto"

// Settings returns all settings in the order of the fields of [Config].
func Settings() []Setting { return settingsOf(reflect.TypeFor[Config](), "", nil) }

func settingsOf(t reflect.Type, table string, index []int) []Setting {
	var all []Setting
	for i := range t.NumField() {
		field := t.Field(i)
		key := table + field.Tag.Get("toml")
		at := append(index[:len(index):len(index)], i)
		if field.Type.Kind() == reflect.Struct {
			all = append(all, settingsOf(field.Type, key+".", at)...)
			continue
		}
		s := Setting{
			Key: key, Type: typeOf(field), Default: field.Tag.Get("default"), Min: field.Tag.Get("min"), Max: field.Tag.Get("max"),
			Restart: field.Tag.Get("reload") == "restart", index: at,
		}
		if choices := field.Tag.Get("choices"); choices != "" {
			s.Choices = strings.Split(choices, ",")
		}
		all = append(all, s)
	}
	return all
}

func typeOf(field reflect.StructField) string {
	switch field.Type {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Files]():
		return "string or list of strings"
	}
	if field.Tag.Get("unit") == "bytes" {
		return "size"
	}
	switch field.Type.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Slice:
		return "list of strings"
	case reflect.Map:
		return "table"
	}
	panic("BUG: no setting can be of type " + field.Type.String())
}

// value returns the field of the setting in c.
func (s *Setting) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(s.index)
}

// path returns the key in its parts.
func (s *Setting) path() []string { return strings.Split(s.Key, ".") }

// Default returns the configuration that an empty file means.
func Default() *Config {
	c := &Config{}
	for _, s := range Settings() {
		value := s.value(c)
		switch {
		case s.Key == "limits.hash_workers":
			value.SetInt(int64(defaultHashWorkers()))
		case s.Default != "":
			setText(value, s.Default)
		}
	}
	return c
}

// setText stores the text of a tag.
func setText(value reflect.Value, text string) {
	var err error
	switch v := value.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		err = v.UnmarshalText([]byte(text))
	case *string:
		*v = text
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *[]string:
		*v = strings.Split(text, ",")
	default:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		value.SetInt(n)
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: the tag of a %s is %q: %v", value.Type(), text, err))
	}
}
