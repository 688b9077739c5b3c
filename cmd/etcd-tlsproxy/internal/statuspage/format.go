package statuspage

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const missing = "–"

// page.js has the same formats under the same names.

// format returns the text of a value and its mood, which colors it: "good", "warn", "bad"
// or "".
func format(value any, as string, now time.Time) (text, mood string) {
	switch as {
	case "count", "alarm":
		n, ok := value.(float64)
		if !ok {
			return missing, ""
		}
		if as == "alarm" && n > 0 {
			mood = "warn"
		}
		return count(n), mood
	case "rate":
		return number(value, rate), ""
	case "percent":
		return number(value, func(n float64) string { return rate(n) + " %" }), ""
	case "share":
		n, ok := value.(float64)
		if ok && n >= nearPercent {
			mood = "warn"
		}
		return number(value, func(n float64) string { return rate(n) + " %" }), mood
	case "ms":
		return number(value, milliseconds), ""
	case "bytes":
		return number(value, size), ""
	case "age":
		return number(value, age), ""
	case "expiry":
		return number(value, age), expiryMood(value)
	case "time":
		return clock(value), ""
	case "since":
		return since(value, now), ""
	case "yes":
		if value == true {
			return "yes", ""
		}
		return "no", ""
	case "has":
		if value == true {
			return "yes", "good"
		}
		return "no", "bad"
	case "lag":
		return lag(value)
	case "verdict":
		if value == true {
			return "yes", "good"
		}
		return "no, see what is in force as before", "bad"
	case "list":
		return list(value), ""
	case "who":
		return who(value), ""
	case "user":
		return user(value), ""
	case "what":
		return what(value), ""
	case "used", "value", "total":
		return amount(value, as), ""
	case "fill":
		return fill(value)
	case "holders":
		return holders(value), ""
	case "serving":
		return serving(value)
	case "following":
		return following(value)
	case "why":
		return why(value), ""
	case "mood":
		text, _ := value.(string)
		return text, moodOf(text)
	case "text", "key", "name", "error": // these differ in their style
		if text, ok := value.(string); ok && text != "" {
			return text, ""
		}
		return missing, ""
	}
	panic("BUG: there is no format " + as)
}

func number(value any, write func(float64) string) string {
	if n, ok := value.(float64); ok {
		return write(n)
	}
	return missing
}

// round rounds halves up like the script, so that both write the same text.
func round(n float64, digits int) string {
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Floor(n*scale+.5)/scale, 'f', digits, 64)
}

// count writes a number with separators between thousands.
func count(n float64) string {
	digits := round(n, 0)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func rate(n float64) string {
	if n == 0 || n >= 9.95 {
		return count(n)
	}
	return round(n, 1)
}

func milliseconds(n float64) string {
	switch {
	case n == 0:
		return "0 ms"
	case n < .995:
		return round(n, 2) + " ms"
	case n < 9.95:
		return round(n, 1) + " ms"
	case n < 999.5:
		return round(n, 0) + " ms"
	}
	return round(n/1000, 1) + " s"
}

func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i > 0 && n < 9.95 {
		return round(n, 1) + " " + units[i]
	}
	return round(n, 0) + " " + units[i]
}

// age writes a duration given in seconds.
func age(n float64) string {
	whole := func(unit float64) string { return count(math.Floor(n / unit)) }
	switch {
	case n < 0:
		return "expired"
	case n < 60:
		return whole(1) + " s"
	case n < 3600:
		return whole(60) + " min"
	case n < 48*3600:
		return whole(3600) + " h"
	}
	return whole(24*3600) + " days"
}

// lag writes for how long nothing has come. Zero is good.
func lag(value any) (text, mood string) {
	n, ok := value.(float64)
	if ok && n > 0 {
		mood = "warn"
	}
	return number(value, age), mood
}

func expiryMood(value any) string {
	switch n, ok := value.(float64); {
	case !ok:
		return ""
	case n <= 0:
		return "bad"
	case n < expirySoon.Seconds():
		return "warn"
	}
	return "good"
}

// clock truncates an RFC 3339 time in UTC to the second.
func clock(value any) string {
	text, _ := value.(string)
	if len(text) < len("2006-01-02T15:04:05") || strings.HasPrefix(text, "0001-") {
		return missing
	}
	return text[:10] + " " + text[11:19]
}

func since(value any, now time.Time) string {
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() == 1 {
		return missing
	}
	return age(max(0, math.Floor(float64(now.UnixMilli()-at.UnixMilli())/1000))) + " ago"
}

func list(value any) string {
	items, _ := value.([]any)
	texts := make([]string, 0, len(items))
	for _, item := range items {
		text, _ := item.(string)
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return missing
	}
	return strings.Join(texts, ", ")
}

func who(value any) string {
	group, _ := value.(map[string]any)
	if group["everyone"] == true {
		return "everyone"
	}
	names, _ := group["users"].([]any)
	if len(names) == 0 {
		return "no one"
	}
	text := list(shownNames(names))
	if more, _ := group["left_out"].(float64); more > 0 {
		text += " and " + count(more) + " more"
	}
	return text
}

func moodOf(text string) string {
	switch text {
	case "up", "serving", "free", "leader":
		return "good"
	case "down", "no leader", "full", "out", "no space", "corrupt":
		return "bad"
	case "emptying", "draining", "short":
		return "warn"
	}
	return ""
}
