package config

import "time"

// Duration is a time.Duration that is written as text.
type Duration time.Duration

// Duration returns d as a [time.Duration].
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// String returns d in the form in which it is written, as in "1h30m0s".
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText parses the form that [time.ParseDuration] accepts.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return problem{"not a valid duration", `write a number with a unit, as in "10s" or "1h30m"`}
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText returns the form of [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
