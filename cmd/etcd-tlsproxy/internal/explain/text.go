package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// displayName returns the name of a user in texts.
func displayName(user string) string {
	if user == "" {
		return "an anonymous client"
	}
	return acl.ShownName(user)
}

// ruleName returns the name of a rule in texts.
func ruleName(prefix string) string {
	if prefix == "" {
		return "no rule"
	}
	return "rule " + prefix
}

// WriteExplanation writes an explanation, whose first word is allowed or refused.
func WriteExplanation(w io.Writer, e *gate.Explanation) error {
	verdict := "allowed"
	if !e.Allowed {
		verdict = "refused"
	}
	text := fmt.Sprintf("%s: %s %s by %s", verdict, e.Method, e.Target, displayName(e.User))
	if e.Rule != "" || e.NoRule {
		text += ", by " + ruleName(e.Rule)
	}
	if !e.Allowed {
		text += fmt.Sprintf("\n%d %s: %s", e.Status, e.Reason, e.Cause)
	}
	if e.Everyone || e.May != nil {
		text += "\nmay: " + Group{Everyone: e.Everyone, Users: e.May}.String()
		if !e.Allowed && e.User != "" {
			text += fmt.Sprintf("; not %s, who counts as logged in", displayName(e.User))
		}
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// WriteText writes who has access, with a line for reads and one for writes.
func (who *Who) WriteText(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\nread:  %s\nwrite: %s\n", who.Key, who.Read, who.Write)
	return err
}

// maxNamed is the number of elements of a long list in a text. JSON has all of them.
const maxNamed = 3

// abbreviate returns the first elements of a list.
func abbreviate(list []string) string {
	if len(list) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:maxNamed], ", "), len(list)-maxNamed)
	}
	return strings.Join(list, ", ")
}

// printable quotes keys that could confuse a terminal.
func printable(keys []string) []string {
	list := make([]string, 0, len(keys))
	for _, key := range keys {
		list = append(list, acl.Key(key).String())
	}
	return list
}

func (r Right) String() string {
	if r.Refused != "" {
		return "no one: " + r.Refused
	}
	text := r.Group.String() + ", by " + ruleName(r.Rule)
	if len(r.Narrowing) > 0 {
		text += ", except users whom these rules exclude: " + abbreviate(r.Narrowing)
	}
	return text
}

// WriteText writes what a user can access, with a line for each rule.
func (what *What) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n\nrule\tread\twrite\n", displayName(what.User))
	for _, e := range what.Rules {
		prefix := e.Rule
		if prefix == "" {
			prefix = "(no rule)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", prefix, e.Read, e.Write)
	}
	fmt.Fprint(t, "\nother parts of etcd's port\tread\twrite\n")
	for _, s := range what.Surfaces {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, yesOrNo(s.Read), yesOrNo(s.Write))
	}
	if what.Bytewise {
		fmt.Fprint(t, "\nmatch = \"both\": a key that begins with the bytes of a rule's prefix, such as /ab for the rule /a, needs that rule's permission as well\n")
	}
	return t.Flush()
}

func yesOrNo(allowed bool) string {
	if allowed {
		return Yes
	}
	return No
}

func (r Reach) String() string {
	switch {
	case r.Refused != "":
		return No + ": " + r.Refused
	case r.Refusing != "":
		return r.Allowed + ": except keys at or above " + r.Refusing
	}
	return r.Allowed
}

// basis says what decides: the reason of a refusal whoever asks, or a table.
func basis(table, reason string) string {
	if reason != "" {
		return reason + " for everyone"
	}
	return table
}

// WriteText writes the changes, two lines for each cause, and their number at the end.
func (d *Diff) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, c := range d.Changes {
		verdict := c.Now + " now: "
		if c.Surface != "" {
			reasons := ""
			if c.ReasonBefore != "" || c.ReasonNow != "" {
				reasons = fmt.Sprintf("; %s before, %s now", basis("list of users", c.ReasonBefore), basis("list of users", c.ReasonNow))
			}
			fmt.Fprintf(&b, "%s%s of the surface %s by %s%s\n", verdict, c.Access, c.Surface, displayName(c.User), reasons)
			continue
		}
		fmt.Fprintf(&b, "%s%s of %s by %s; %s before, %s now\n    %s\n", verdict, c.Access, english.Plural(len(c.Keys), "key", ""), displayName(c.User),
			basis(ruleName(c.RuleBefore), c.ReasonBefore), basis(ruleName(c.RuleNow), c.ReasonNow), abbreviate(printable(c.Keys)))
	}
	if len(d.Unread) > 0 {
		fmt.Fprintf(&b, "keys that no request through the proxy can name: %d, for example %q\n", len(d.Unread), d.Unread[0])
	}
	fmt.Fprintf(&b, "%d of %s change; compared were %s, %d more that stand for the rules, %d other parts of etcd's port, %s including anonymous clients, reads and writes\n",
		d.Changed, english.Plural(d.Decisions, "decision", ""), english.Plural(d.Keys, "key", ""), d.Examples, len(surfaces), english.Plural(d.Users, "user", ""))
	_, err := io.WriteString(w, b.String())
	return err
}
