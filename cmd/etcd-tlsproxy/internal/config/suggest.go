package config

import (
	"reflect"
	"strings"
)

// knownKeys returns all keys, tables included.
func knownKeys(table string, t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		field := t.Field(i)
		key := table + field.Tag.Get("toml")
		keys = append(keys, key)
		if field.Type.Kind() == reflect.Struct {
			keys = append(keys, knownKeys(key+".", field.Type)...)
		}
	}
	return keys
}

// nearest returns the known key that is most similar to an unknown one, or "".
func nearest(key string) string {
	best, distance := "", 4 // a key that differs in four letters is probably another word
	moved := false
	for _, known := range knownKeys("", reflect.TypeFor[Config]()) {
		if d := editDistance(key, known); d < distance {
			best, distance, moved = known, d, false
		}
		// The key may be right, but in the wrong table or at the top. Of certificate and key,
		// which two tables have, the required ones come last.
		if _, last, ok := strings.Cut(known, "."); ok && key[strings.LastIndexByte(key, '.')+1:] == last && (distance > 1 || moved) {
			best, distance, moved = known, 1, true
		}
	}
	return best
}

// editDistance returns the Levenshtein distance of a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
