package statuspage

import (
	"fmt"
	"strings"
	"time"
)

// expirySoon is the remaining time at which a certificate becomes a problem. Certificates
// are renewed automatically weeks earlier, so the renewal must have failed.
const expirySoon = 14 * 24 * time.Hour

// maxWarnings bounds the warnings among the problems. All are in the configuration.
const maxWarnings = 10

// maxNames bounds the users that a problem names.
const maxNames = 20

// problems lists what needs an operator's attention, for operators who do not read the
// whole status.
func (s *Status) problems() []string {
	list := []string{}
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch s.State {
	case "serving":
	case "emptying":
		add("The proxy is being emptied since %s: it is not ready, and idle connections end at once, and others with their next answer. POST /-/drain?off ends this.", s.EmptyingSince.Format(time.DateTime))
	default:
		add("The proxy is %s: it no longer accepts connections.", s.State)
	}
	if !s.Config.OK {
		rest := "; the rest was applied"
		if s.Config.NothingApplied {
			rest = ""
		}
		refused := ""
		if n := len(s.Config.UsersWaiting); n > 0 {
			shown := strings.Join(s.Config.UsersWaiting[:min(n, maxNames)], ", ")
			if n > maxNames {
				shown += fmt.Sprintf(" and %d more", n-maxNames)
			}
			refused = " Users refused until the mistake is mended, because their new passwords are not in force: " + shown + "."
		}
		add("The configuration on disk is not in force as a whole. In force as before: %s%s.%s The reason: %s.",
			strings.Join(s.Config.Old, "; "), rest, refused, strings.ReplaceAll(strings.TrimSpace(s.Config.Error), "\n", "; "))
	}
	for _, pending := range s.Config.RestartPending {
		if s.Config.OK {
			add("A changed setting waits for a restart: %s.", pending)
		} else {
			add("A changed setting waits for a restart, which fails while the configuration on disk has a mistake: %s.", pending)
		}
	}
	for i, warning := range s.Config.Warnings {
		if i == maxWarnings {
			add("There are %d more warnings about the configuration.", len(s.Config.Warnings)-i)
			break
		}
		add("The configuration has a warning: %s.", warning)
	}
	if s.ReadOnly {
		add("All writes are refused, because read_only is set.")
	}
	up, last := 0, time.Time{} // last is when the last endpoint was found not to be up
	for _, e := range s.Upstream.Endpoints {
		if e.Health == "up" {
			up++
		} else {
			if e.Since.After(last) {
				last = e.Since
			}
			add("etcd at %s was first found not to be up at %s: %s.", e.Endpoint, e.Since.Format(time.DateTime), e.Error)
		}
	}
	// An etcd that hangs still accepts connections.
	const answers = "Requests get 503 at once or, if etcd accepts them and does not answer, 504 after their wait for a turn and limits.upstream_timeout."
	switch {
	case up == 0 && !s.Upstream.Recovered.IsZero(): // the state of the endpoints is older
		add("No etcd answered after %s, and etcd answers again since %s. The endpoints will be checked again within seconds.",
			s.Upstream.Since.Format(time.DateTime), s.Upstream.Recovered.Format(time.DateTime))
	case up == 0 && !s.Upstream.Since.IsZero():
		add("No etcd is available: none has answered since %s. "+answers, s.Upstream.Since.Format(time.DateTime))
	case up == 0:
		add("No etcd is available since %s at the latest, when the last endpoint was found not to be up. "+answers, last.Format(time.DateTime))
	case s.Upstream.Leader == "" && s.Upstream.LeaderID == "":
		add("etcd has no leader: writes fail.")
	case !s.Upstream.Since.IsZero():
		add("etcd has not answered every request since %s, and an endpoint is up now. The service log has the reason. This line goes once etcd has answered for two seconds.", s.Upstream.Since.Format(time.DateTime))
	}
	for i := range s.Changeovers {
		list = append(list, changeoverProblems(&s.Changeovers[i])...)
	}
	for i := range s.Shadows {
		list = append(list, shadowProblems(&s.Shadows[i], s.Time)...)
	}
	for i := range s.Stores {
		list = append(list, storeProblems(&s.Stores[i], s.Time)...)
	}
	for _, l := range s.Logs {
		if l.Failing {
			add("The %s log cannot be written since %s: %s. Records lost since the start: %d.", l.Log, l.Since.Format(time.DateTime), l.Error, l.Lost)
			if l.Log == "audit" && s.Config.AuditRequired {
				add("All writes are refused until the audit log can be written, because log.audit_required is set.")
			}
		}
	}
	list = append(list, s.limitProblems()...)
	switch s.Memory.Level {
	case "short":
		add("Little memory is left: reads of clients that hold more than their share are refused.")
	case "full":
		add("Very little memory is left: all requests of clients that hold more than their share are refused.")
	case "out":
		add("No memory is left: all requests are refused.")
	}
	for _, c := range s.Certificates {
		switch left := time.Duration(c.Seconds) * time.Second; {
		case c.Role == "client_crl" && left <= 0:
			add("The revocation list of %s has expired: clients with a certificate of this CA are refused.", c.Subject)
		case c.Role == "client_crl": // lists live for days, or only for hours
		case left <= 0:
			add("The certificate %s (%s) has expired.", c.Subject, c.Role)
		case left < expirySoon:
			add("The certificate %s (%s) expires in %s.", c.Subject, c.Role, age(left.Seconds()))
		}
	}
	return list
}
